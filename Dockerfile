# The store's one image: the program `toystore`, and nothing else to run.
#
#     docker build -t toystore .                       (BuildKit or the classic builder, for the machine's own processor)
#     docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
#
# The program is linked statically with glibc and lies on `scratch`. Why: docs/image.md.

# Its tag is the toolchain of rust-toolchain.toml. Any image with that Rust, cc, glibc's static library and a POSIX shell will do.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-trixie

# What decides about dependencies alone: manifests, lock file, cargo's settings. Each crate is empty in this stage, so that a change
# of ours leaves the layer of built dependencies below as it was.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
# Tests that a manifest names must be there, and may be empty.
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path './.cargo/*' ! -path './crates/*/tests/*.rs' -delete \
    && for tests in crates/*/tests/*.rs; do : > "$tests"; done \
    && for crate in crates/*; do mkdir -p "$crate/src" && echo '//! Empty.' > "$crate/src/lib.rs"; done \
    && printf '//! Empty.\nfn main() {}\n' > crates/toystore/src/main.rs

FROM ${RUST_IMAGE} AS build
# `quick` takes half the time, for trying the image out; what is shipped is `release`.
ARG PROFILE=release
# Appended to .cargo/config.toml's flags. With a target named they are for the program, not for the macros that run while it is built.
ENV CARGO_BUILD_RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_BUILD_TARGET=host-tuple \
    CARGO_TARGET_DIR=/target
WORKDIR /src
COPY --from=manifests /src ./
RUN cargo build --profile ${PROFILE} --locked --package toystore
COPY . .
# Cargo goes by the time of files: ours must look newer than the empty ones that were built.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --profile ${PROFILE} --locked --package toystore \
    # A panic tells file and line without symbols, and they are a fifth of the program.
    && strip /target/*/${PROFILE}/toystore \
    && mkdir -p /image /volume/data \
    && mv /target/*/${PROFILE}/toystore /image/ \
    && cp LICENSE-* /image/

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="toystore" \
      org.opencontainers.image.description="A toy store as a distributed system: frontend, catalog, replicated orders, shoppers" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image /
# /data, the only place that is written to. A volume that is made there gets its owner.
COPY --from=build --chown=65532:65532 /volume /
USER 65532:65532
EXPOSE 1110
ENTRYPOINT ["/toystore"]
CMD ["--help"]
