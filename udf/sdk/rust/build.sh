#!/bin/sh
# Builds a function's crate to a component: build.sh CRATE_FOLDER OUTPUT.wasm
#
# Needs `rustup target add wasm32-unknown-unknown`, once. The linker comes with Rust.
set -eu
crate=$1
output=$2
CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
# Panic messages hold source paths: without this the builder's own folders would end up in the component.
RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$(pwd)=. ${RUSTFLAGS:-}"
export RUSTFLAGS
cargo build --release --target wasm32-unknown-unknown --manifest-path "$crate/Cargo.toml"
directory=$(cargo metadata --format-version 1 --no-deps --manifest-path "$crate/Cargo.toml" |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
cp "$directory/wasm32-unknown-unknown/release/$(basename "$crate").wasm" "$output"
