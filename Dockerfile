# The image holds the one binary and what its TLS needs. It was not built where Riverhook is developed: no engine there.

FROM rust:1.95-bookworm AS build
# OpenSSL and librdkafka are built from source: they need a C++ compiler and make (in the base image), and perl.
RUN apt-get update \
    && apt-get install -y --no-install-recommends perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package riverhook

FROM debian:bookworm-slim
# curl is for the health check.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/riverhook --create-home riverhook
COPY --from=build /src/target/release/riverhook /usr/local/bin/riverhook
USER riverhook
WORKDIR /var/lib/riverhook
VOLUME /var/lib/riverhook
# Metrics and health, for a pipeline whose `server.listen` is 0.0.0.0:9464.
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:9464/healthz"]
ENTRYPOINT ["riverhook"]
CMD ["--help"]
