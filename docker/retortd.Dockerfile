# The service. Made on top of the worker's image, since the executor "local"
# starts workers in the container that retortd runs in.
#   docker build -f docker/retortd.Dockerfile -t retortd .
#   docker run -v retort:/var/lib/retort -p 127.0.0.1:7433:7433 retortd --insecure
ARG BUILD=retort-build
ARG WORKER=retort-worker
FROM ${BUILD} AS build

FROM ${WORKER}
USER root
# dataset-fashion-mnist: what the recipes train on.
RUN apt-get update && apt-get install -y --no-install-recommends \
      dataset-fashion-mnist && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/retort/bin/retortd /opt/retort/bin/
COPY --from=build /opt/retort/share/retort /opt/retort/share/retort
USER retort
VOLUME /var/lib/retort
EXPOSE 7433 7434
# Workers get a minute to write their checkpoints: docker stop -t 90.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/retort/bin/retortd", "--data_dir=/var/lib/retort", \
            "--listen=0.0.0.0:7433", "--http_listen=0.0.0.0:7434"]
