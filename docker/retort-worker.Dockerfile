# The worker: what Slurm's and Kubernetes' compute nodes run.
#   docker build -f docker/retort-worker.Dockerfile -t retort-worker .
ARG BUILD=retort-build
FROM ${BUILD} AS build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libssl3 libstdc++6 zlib1g && rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --home-dir /var/lib/retort --create-home retort
COPY --from=build /opt/retort/lib /opt/retort/lib
COPY --from=build /opt/retort/bin/retort-worker /opt/retort/bin/
USER retort
ENTRYPOINT ["/opt/retort/bin/retort-worker"]
