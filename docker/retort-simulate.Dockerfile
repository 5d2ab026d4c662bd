# The scheduler's simulator.
#   docker build -f docker/retort-simulate.Dockerfile -t retort-simulate .
ARG BUILD=retort-build
FROM ${BUILD} AS build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libabsl20220623 libfmt9 libspdlog1.10 libssl3 libstdc++6 && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/retort/bin/retort-simulate /opt/retort/bin/
USER nobody
ENTRYPOINT ["/opt/retort/bin/retort-simulate"]
