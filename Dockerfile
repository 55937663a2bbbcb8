# One binary with every subcommand. Build: docker build -t rookery .
# Run: docker run -p 8443:8443 -v rookery:/data rookery
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential perl pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --features saml && strip target/release/rookery

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /data --create-home --shell /usr/sbin/nologin rookery
COPY --from=build /src/target/release/rookery /usr/local/bin/rookery
USER rookery
WORKDIR /data
ENV ROOKERY_DATA_DIR=/data
VOLUME /data
# 8443 devices, 8444 admins, 8445 operators (the last two listen on loopback unless told otherwise).
EXPOSE 8443 8444 8445
STOPSIGNAL SIGTERM
ENTRYPOINT ["rookery"]
CMD ["serve"]
