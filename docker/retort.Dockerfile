# The command line.
#   docker build -f docker/retort.Dockerfile -t retort .
#   docker run --network host retort jobs list
ARG BUILD=retort-build
FROM ${BUILD} AS build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libabsl20220623 libfmt9 libgrpc++1.51 libgrpc29 libprotobuf32 libpng16-16 \
      libspdlog1.10 libssl3 libstdc++6 libyaml-cpp0.7 zlib1g && \
    rm -rf /var/lib/apt/lists/* && useradd --system --uid 10001 retort
COPY --from=build /opt/retort/bin/retort /opt/retort/bin/
COPY --from=build /opt/retort/share/retort/recipes /opt/retort/share/retort/recipes
USER retort
ENTRYPOINT ["/opt/retort/bin/retort"]
