#!/usr/bin/env python3
"""Which preconditioning trains fastest? Distills one teacher with every
preconditioning and several seeds, through a running Retort service, and
reports quality against iterations.

    scripts/experiment-preconditionings.py --bin build/release/bin --data DIR

Two kinds of student have ctm's preconditioning and one other choice changed:
the draw of the number of teacher steps, the start of the second time's branch.

Starts a retortd on DIR unless one runs there, submits what is missing and
waits. It can be stopped at any time and started again: jobs are named after
what they are, finished ones are not run again, and unfinished ones go on from
their checkpoints. Teacher and feature extractor are those of
scripts/recipes/experiment. Writes OUT/preconditioning.json (raw series and
what follows from them) and, with matplotlib, OUT/preconditioning-*.svg; needs
no other package. Made docs/experiments/preconditioning.md.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
RECIPES = HERE / "recipes" / "experiment"
# Names of the students' kinds: every preconditioning, and ctm with one other choice changed.
KINDS = ["ctm", "bcm", "analytic", "analytic-forward", "fitted-state", "fitted-denoiser", "fitted-spectral",
         "ctm-uniform-steps", "ctm-random-second-time"]
WITHOUT_TABLES = ("ctm", "bcm")
CHANGED = {"ctm-uniform-steps": ("ctm", ["spec.distill.step_strategy=uniform"]),
           "ctm-random-second-time": ("ctm", ["spec.distill.zero_init_second_time=false"])}
NOT_FOUND = 3  # exit code of retort
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's t, by seeds


def say(text):
    print(f"[{datetime.datetime.now():%H:%M:%S}] {text}", flush=True)


class Service:
    """The service through its command line."""

    def __init__(self, args):
        self.bin = pathlib.Path(args.bin)
        self.data = pathlib.Path(args.data)
        self.address = self.running() or self.start(args)

    def running(self):
        try:
            facts = json.loads((self.data / "retortd.json").read_text())
            os.kill(facts["pid"], 0)
            return facts["grpc"]
        except (OSError, ValueError, KeyError):
            return None

    def start(self, args):
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "retortd.json").unlink(missing_ok=True)
        command = [str(self.bin / "retortd"), "--data_dir", str(self.data), "--listen", "127.0.0.1:0",
                   "--http_listen", "127.0.0.1:0", "--cpu_slots", str(args.slots)]
        with open(self.data / "retortd.log", "ab") as log:
            subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        for _ in range(150):
            time.sleep(0.2)
            if address := self.running():
                return address
        sys.exit(f"retortd did not start; its log is {self.data / 'retortd.log'}")

    def call(self, *args):
        done = subprocess.run([str(self.bin / "retort"), "--server", self.address, "--json", *args],
                              capture_output=True, text=True)
        if done.returncode == NOT_FOUND:
            raise LookupError(done.stderr.strip())
        if done.returncode != 0:
            raise RuntimeError(f"retort {' '.join(args)}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def find(self, what, name):
        try:
            return self.call(what, "get", name)
        except LookupError:
            return None

    def ensure_model(self, name, folder):
        if self.find("models", name) is None:
            self.call("models", "import", str(folder / "weights.safetensors"), "--manifest",
                      str(folder / "manifest.json"), "--id", name)

    def ensure_job(self, name, recipe, settings):
        """Submits a job unless it is there; one that failed is tried anew."""
        job = self.find("jobs", name)
        if job is not None and job["state"] in ("STATE_FAILED", "STATE_CANCELLED"):
            say(f"{name} ended as {job['state']}: {job.get('stateReason', job.get('state_reason', ''))}; again")
            self.call("jobs", "delete", name)
            job = None
        if job is None:
            sets = [part for s in settings for part in ("--set", s)]
            self.call("jobs", "submit", "-f", str(RECIPES / recipe), "--id", name, *sets)

    def wait(self, names):
        left = list(names)
        while left:
            states = {n: self.call("jobs", "get", n) for n in left}
            for n in [n for n, j in states.items() if j["state"] == "STATE_SUCCEEDED"]:
                say(f"{n} is done, {len(left) - 1} left")
                left.remove(n)
            for n, j in states.items():
                if j["state"] in ("STATE_FAILED", "STATE_CANCELLED"):
                    sys.exit(f"{n} ended as {j['state']}; see retort jobs get {n}, then start this again")
            if left:
                time.sleep(5)

    def series(self, name):
        found = self.call("jobs", "metrics", name, "--points", "100000")
        return {s["name"]: [[int(p["step"]), p["value"]] for p in s["points"]]
                for s in found["series"] if s["name"].startswith(("validation_", "loss"))}


def first_reach(points, level):
    """Iterations at which a falling series first reaches `level`, by linear
    interpolation; infinity if it never does."""
    before = None
    for step, value in points:
        if value <= level:
            if before is None or before[1] == value:
                return float(step)
            return before[0] + (step - before[0]) * (before[1] - level) / (before[1] - value)
        before = (step, value)
    return math.inf


def interval(values):
    """Mean and half-width of the 95 % interval over seeds."""
    n = len(values)
    mean = sum(values) / n
    if n < 2 or not all(map(math.isfinite, values)):
        return mean, None
    sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return mean, T95.get(n, 1.96) * sd / math.sqrt(n)


def summarise(runs, iterations, seeds):
    names = sorted({s for by_seed in runs.values() for r in by_seed.values() for s in r if s.startswith("validation_")})
    final, ratio = {}, {}
    for kind, by_seed in runs.items():
        final[kind] = {n: interval([by_seed[s][n][-1][1] for s in by_seed]) for n in names}
        ratio[kind] = {}
        for n in names:
            shared = [s for s in by_seed if s in runs.get("ctm", {})]
            if shared:
                reach = [first_reach(by_seed[s][n], runs["ctm"][s][n][-1][1]) / iterations for s in shared]
                ratio[kind][n] = {"per_seed": [r if math.isfinite(r) else None for r in reach],
                                  "mean_and_half_width": interval(reach) if all(map(math.isfinite, reach)) else None}
    return {"final": final, "iterations_to_ctm_final": ratio}


def table(summary, kinds):
    final, ratio = summary["final"], summary["iterations_to_ctm_final"]
    show = lambda pair: f"{pair[0]:.4g}" + (f" ± {pair[1]:.2g}" if pair[1] is not None else "")
    columns = [f"validation_{m}_{n}" for m in ("rms", "fd") for n in (1, 2, 4)]
    print("| preconditioning | " + " | ".join(c.removeprefix("validation_") for c in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for k in kinds:
        print(f"| `{k}` | " + " | ".join(show(final[k][c]) for c in columns) + " |")
    print()
    print("| iterations to ctm's final value, share | " + " | ".join(c.removeprefix("validation_") for c in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for k in kinds:
        cells = []
        for c in columns:
            r = ratio.get(k, {}).get(c)
            if r is None:
                cells.append("")
            elif r["mean_and_half_width"]:
                cells.append(show(r["mean_and_half_width"]))
            else:
                cells.append("never in " + f"{sum(v is None for v in r['per_seed'])} of {len(r['per_seed'])}")
        print(f"| `{k}` | " + " | ".join(cells) + " |")


def draw(runs, out):
    try:
        import matplotlib
    except ImportError:
        say("no pictures: pip install matplotlib, and start this again")
        return
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    for measure, title in (("rms", "RMS distance to the teacher's end points"), ("fd", "FD-FMNIST at 16x16")):
        figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
        for axis, steps in zip(axes, (1, 2, 4)):
            name = f"validation_{measure}_{steps}"
            for i, (kind, by_seed) in enumerate(runs.items()):
                curves = [dict(r[name]) for r in by_seed.values()]
                at = sorted(set.intersection(*(set(c) for c in curves)))
                mean = [sum(c[s] for c in curves) / len(curves) for s in at]
                axis.plot(at, mean, label=kind, color=f"C{i}", linewidth=1.6)
                if len(curves) > 1:
                    axis.fill_between(at, [min(c[s] for c in curves) for s in at],
                                      [max(c[s] for c in curves) for s in at], color=f"C{i}", alpha=0.15, linewidth=0)
            axis.set_title(f"{steps} step{'s' if steps > 1 else ''}")
            axis.set_xlabel("iterations")
            axis.set_yscale("log")
            axis.grid(alpha=0.3, which="both")
        axes[0].set_ylabel(title)
        axes[-1].legend(fontsize=8)
        figure.savefig(out / f"preconditioning-{measure}.svg", facecolor="white")
        plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(HERE.parent / "build/release/bin"), help="folder of the binaries")
    parser.add_argument("--data", default="experiment-data", help="the service's folder (default: ./experiment-data)")
    parser.add_argument("--out", help="folder of the report (default: DATA/report)")
    parser.add_argument("--slots", type=int, default=os.cpu_count(), help="CPU slots of a service started here")
    parser.add_argument("--threads", type=int, default=1, help="threads of one job; slots / threads run at once")
    parser.add_argument("--iterations", type=int, help="default: the recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="more settings of every student")
    parser.add_argument("--tag", default="", help="part of the jobs' names, to tell settings apart")
    parser.add_argument("--report-only", action="store_true", help="submit nothing; report what is done")
    args = parser.parse_args()
    service = Service(args)
    say(f"retortd answers on {service.address}")
    service.ensure_model("fmnist16-teacher", RECIPES / "teacher")
    service.ensure_model("fmnist16-features", RECIPES / "feature-extractor")
    threads = f"spec.resources.cpu_threads={args.threads}"
    name = lambda kind, seed: f"student{args.tag}-{kind}-seed{seed}"
    if not args.report_only:
        service.ensure_job("fmnist16-preconditioning", "preconditioning.yaml", [threads])
        service.wait(["fmnist16-preconditioning"])
        jobs = []
        for seed in args.seeds:
            for kind in args.kinds:
                preconditioning, changed = CHANGED.get(kind, (kind, []))
                settings = [threads, f"spec.distill.preconditioning={preconditioning}",
                            f"spec.distill.training.seed={seed}", *changed, *args.set]
                if preconditioning not in WITHOUT_TABLES:
                    settings.append("spec.distill.preconditioning_artifact=fmnist16-preconditioning")
                if args.iterations:
                    settings.append(f"spec.distill.training.iterations={args.iterations}")
                service.ensure_job(name(kind, seed), "distill.yaml", settings)
                jobs.append(name(kind, seed))
        service.wait(jobs)
    runs, spec = {}, None
    for kind in args.kinds:
        for seed in args.seeds:
            job = service.find("jobs", name(kind, seed))
            if job is not None and job["state"] == "STATE_SUCCEEDED":
                runs.setdefault(kind, {})[seed] = service.series(name(kind, seed))
                spec = job["spec"]
    if not runs:
        sys.exit("no student is done yet")
    iterations = max(p[-1][0] for by_seed in runs.values() for r in by_seed.values() for p in r.values())
    summary = summarise(runs, iterations, args.seeds)
    out = pathlib.Path(args.out) if args.out else service.data / "report"
    out.mkdir(parents=True, exist_ok=True)
    report = {"date": f"{datetime.date.today()}", "iterations": iterations, "spec_of_the_last": spec, "summary": summary,
              "runs": runs}
    (out / "preconditioning.json").write_text(json.dumps(report, separators=(",", ":")))
    table(summary, list(runs))
    draw(runs, out)
    say(f"raw series are in {out / 'preconditioning.json'}")


if __name__ == "__main__":
    main()
