# The store's image: the program `toystore`, and no other program.
#
#     docker build -t toystore .      (BuildKit or the classic builder, for this machine's CPU)
#     docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
#
# The program is linked statically with glibc, on `scratch`. docs/image.md says why.

# The tag is the toolchain of rust-toolchain.toml. Any image with this Rust, cc, glibc's static
# library and a POSIX shell works.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-trixie

# The inputs of the dependencies: manifests, lock file, cargo's settings. Each crate is empty in
# this stage, so that a change of the sources keeps the layer of built dependencies below.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
# Tests and benches that a manifest names must exist, but may be empty.
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path './.cargo/*' \
        ! -path './crates/*/tests/*.rs' ! -path './crates/*/benches/*.rs' -delete \
    && for target in crates/*/tests/*.rs crates/*/benches/*.rs; do : > "$target"; done \
    && for crate in crates/*; do mkdir -p "$crate/src" && echo '//! Empty.' > "$crate/src/lib.rs"; done \
    && printf '//! Empty.\nfn main() {}\n' > crates/toystore/src/main.rs

FROM ${RUST_IMAGE} AS build
# `release` takes half the time, for checks. Released images use `dist`.
ARG PROFILE=dist
# Appended to the flags of .cargo/config.toml. With an explicit target they apply to the program,
# not to macros that run during the build.
ENV CARGO_BUILD_RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_BUILD_TARGET=host-tuple \
    CARGO_TARGET_DIR=/target
WORKDIR /src
COPY --from=manifests /src ./
RUN cargo build --profile ${PROFILE} --locked --package toystore
COPY . .
# Cargo compares file times: the sources must be newer than the empty files that were built.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --profile ${PROFILE} --locked --package toystore \
    # A panic shows file and line without symbols, and symbols are a fifth of the program.
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
# /data, the only writable place. A volume created there gets its owner.
COPY --from=build --chown=65532:65532 /volume /
USER 65532:65532
EXPOSE 1110
ENTRYPOINT ["/toystore"]
CMD ["--help"]
