# Builds everything from this tree; the images of the programs copy from it.
#   docker build -f docker/build.Dockerfile -t retort-build .
# --build-arg PRESET=cuda also needs the CUDA libraries (several GB more).
FROM debian:12-slim
ARG PRESET=release
RUN apt-get update && apt-get install -y --no-install-recommends \
      ca-certificates git python3 python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Packages and LibTorch first: they change rarely.
COPY scripts/bootstrap.sh scripts/cuda-requirements.txt scripts/
RUN if [ "$PRESET" = cuda ]; then scripts/bootstrap.sh --cuda; else scripts/bootstrap.sh; fi
COPY . .
RUN scripts/build.sh --preset "$PRESET" \
      retortd retort retort-worker retort-simulate retort-parity && \
    cmake --install "build/$PRESET" --prefix /opt/retort
