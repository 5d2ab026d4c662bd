# The scheduler's simulator.
#   docker build -f docker/retort-simulate.Dockerfile -t retort-simulate .
ARG BUILD=retort-build
FROM ${BUILD} AS build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libssl3 libstdc++6 zlib1g && \
    rm -rf /var/lib/apt/lists/*
# Without LibTorch, which lies in folders beside these.
COPY --from=build /opt/retort/lib/retort/*.so* /opt/retort/lib/retort/
COPY --from=build /opt/retort/bin/retort-simulate /opt/retort/bin/
USER nobody
ENTRYPOINT ["/opt/retort/bin/retort-simulate"]
