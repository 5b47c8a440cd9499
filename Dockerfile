# syntax=docker/dockerfile:1
# The service alone, without a shell's worth of anything else: it needs a C library, nothing more.
FROM rust:1.95-slim-bookworm AS build
# The base image is what is pinned; Debian keeps one version of a package.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /solgik
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/solgik/target \
    cargo build --release --locked --bin solgik \
    && cp target/release/solgik /usr/local/bin/solgik \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /usr/local/bin/solgik /usr/local/bin/solgik
COPY --from=build --chown=65532:65532 /data /data
ENV SOLGIK__DATA_DIR=/data \
    SOLGIK__SERVER__LISTEN=0.0.0.0:8000 \
    SOLGIK__ADMIN__LISTEN=127.0.0.1:9600
VOLUME /data
EXPOSE 8000
USER 65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["solgik", "healthcheck"]
# A stopping server takes `server.drain_secs` (20) to send everybody away: give it that, `docker stop -t 30`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["solgik"]
CMD ["serve"]
