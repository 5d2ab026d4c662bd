# Golden cases on the machine at hand, e.g. a GPU node.
#   docker build -f docker/retort-parity.Dockerfile -t retort-parity .
#   docker run -v $PWD/tests/golden:/golden:ro retort-parity /golden/CASE
ARG BUILD=retort-build
FROM ${BUILD} AS build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libssl3 libstdc++6 zlib1g && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/retort/lib /opt/retort/lib
COPY --from=build /opt/retort/bin/retort-parity /opt/retort/bin/
USER nobody
ENTRYPOINT ["/opt/retort/bin/retort-parity"]
