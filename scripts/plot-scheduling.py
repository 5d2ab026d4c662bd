#!/usr/bin/env python3
"""Draws docs/images/scheduling.svg from retort-simulate's figures.

    scripts/plot-scheduling.py docs/experiments/scheduling.json docs/images/scheduling.svg
"""
import json
import sys

COLOURS = {"policy": "#1f6fd1", "no-backfill": "#d97a1f", "fifo": "#777777"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 860, 230, 60, 70, 60
HOURS = 360


def line(values, y_of, colour):
    points = " ".join(f"{LEFT + WIDTH * i / HOURS:.1f},{y_of(v):.1f}"
                      for i, v in enumerate(values[:HOURS]))
    return (f'<polyline points="{points}" fill="none" stroke="{colour}" '
            'stroke-width="1.4"/>')


def panel(top, title, ticks, low, high, series):
    def y_of(value):
        clipped = min(max(value, low), high)
        return top + HEIGHT * (1 - (clipped - low) / (high - low))

    out = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{title}</text>']
    for value, label in ticks:
        y = y_of(value)
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}" '
                   'stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for hours in range(0, HOURS + 1, 48):
        x = LEFT + WIDTH * hours / HOURS
        out.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" '
                   f'text-anchor="middle">{hours} h</text>')
    for name, values in series:
        out.append(line(values, y_of, COLOURS[name]))
    return out


def main():
    source, target = sys.argv[1:3]
    with open(source) as file:
        figures = json.load(file)
    runs = [(name, figures["runs"][name]["hourly"]) for name in COLOURS
            if name in figures["runs"]]
    bottom = TOP + 2 * HEIGHT + GAP + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" '
           f'height="{bottom}" font-family="Helvetica,Arial,sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="#fff"/>',
           '<text x="20" y="22" font-size="16" font-weight="bold">'
           f'{figures["workload"]["gpus"]} GPUs, {figures["workload"]["backlog"]} jobs '
           'waiting at the start</text>']
    x = LEFT
    for name, _ in runs:
        out.append(f'<line x1="{x}" y1="38" x2="{x + 24}" y2="38" '
                   f'stroke="{COLOURS[name]}" stroke-width="2"/>')
        out.append(f'<text x="{x + 30}" y="42">{name}</text>')
        x += 130
    out += panel(TOP, "GPUs in use, hour by hour",
                 [(v / 10, f"{10 * v} %") for v in range(5, 11)], 0.5, 1.0,
                 [(name, hourly["used"]) for name, hourly in runs])
    out += panel(TOP + HEIGHT + GAP, "Jobs that wait",
                 [(v * 20000, f"{20 * v},000" if v else "0") for v in range(6)], 0, 105000,
                 [(name, hourly["waiting"]) for name, hourly in runs])
    with open(target, "w") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


if __name__ == "__main__":
    main()
