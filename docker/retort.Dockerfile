# The command line.
#   docker build -f docker/retort.Dockerfile -t retort .
#   docker run --network host retort jobs list
ARG BUILD=retort-build
FROM ${BUILD} AS build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libssl3 libstdc++6 zlib1g && \
    rm -rf /var/lib/apt/lists/* && useradd --system --uid 10001 retort
# Without LibTorch, which lies in folders beside these.
COPY --from=build /opt/retort/lib/retort/*.so* /opt/retort/lib/retort/
COPY --from=build /opt/retort/bin/retort /opt/retort/bin/
COPY --from=build /opt/retort/share/retort/recipes /opt/retort/share/retort/recipes
USER retort
ENTRYPOINT ["/opt/retort/bin/retort"]
