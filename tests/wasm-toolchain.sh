# shellcheck shell=bash
# To be sourced: finds a Rust toolchain that builds for wasm32-unknown-unknown.
#
#   wasm_cargo std  SUBCOMMAND ARGS...    with the whole standard library
#   wasm_cargo core SUBCOMMAND ARGS...    with core and alloc only: no std exists to be named
#
# Three places are looked at, in this order:
#
#   1. the toolchain of `cargo`, if it has the sources of the standard library
#      (`rustup component add rust-src`): builds both kinds;
#   2. the same, if it has the target (`rustup target add wasm32-unknown-unknown`): builds `std`;
#   3. Debian's packages rustc-web, cargo-web and rust-web-src, which carry sources: builds both.
#
# Debian's compiler comes without a linker for wasm: it borrows rust-lld from rustup's toolchain, or
# takes wasm-ld from Debian's package lld.

WASM_TARGET=wasm32-unknown-unknown
WASM_DEBIAN_PACKAGES=(rustc-web cargo-web rust-web-src)

wasm_sysroot() {
    rustc --print sysroot 2>/dev/null
}

wasm_own_has_sources() {
    [[ -f "$(wasm_sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]]
}

wasm_own_has_target() {
    compgen -G "$(wasm_sysroot)/lib/rustlib/$WASM_TARGET/lib/libstd-*" >/dev/null
}

wasm_debian_is_there() {
    [[ -x /usr/bin/cargo && -x /usr/bin/rustc ]] &&
        [[ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]]
}

wasm_linker() {
    local lld
    for lld in "$(wasm_sysroot)"/lib/rustlib/*/bin/rust-lld "$(command -v wasm-ld || true)"; do
        if [[ -n $lld && -x $lld ]]; then
            echo "$lld"
            return
        fi
    done
    return 1
}

# Says in one line which toolchain `wasm_cargo KIND` takes: own-sources, own-target, debian; or
# nothing, with status 1, if none of them can build it.
wasm_toolchain() {
    local kind=$1
    if wasm_own_has_sources; then
        echo own-sources
    elif [[ $kind == std ]] && wasm_own_has_target; then
        echo own-target
    elif wasm_debian_is_there; then
        echo debian
    else
        return 1
    fi
}

wasm_cargo() {
    local kind=$1 toolchain crates linker
    shift
    case $kind in
        std) crates=std,panic_abort ;;
        core) crates=core,alloc,panic_abort ;;
        *) echo "wasm_cargo: the first argument is std or core, not '$kind'" >&2; return 2 ;;
    esac
    if ! toolchain=$(wasm_toolchain "$kind"); then
        echo "No Rust toolchain here can build for $WASM_TARGET ($kind)." >&2
        echo "With rustup: rustup component add rust-src" >&2
        echo "On Debian, as root: apt-get update; apt-get install ${WASM_DEBIAN_PACKAGES[*]} lld" >&2
        return 1
    fi
    local subcommand=$1
    shift
    if ! linker=$(wasm_linker); then
        echo "No linker for $WASM_TARGET: neither rust-lld (rustup) nor wasm-ld (Debian: lld)." >&2
        return 1
    fi
    local -x CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
    # A build directory of its own: two compilers that share one rebuild each other's work.
    local -x CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/wasm"
    case $toolchain in
        own-sources)
            echo "toolchain: $(rustc --version), standard library from its sources"
            RUSTC_BOOTSTRAP=1 cargo "$subcommand" -Z build-std="$crates" --target "$WASM_TARGET" "$@"
            ;;
        own-target)
            echo "toolchain: $(rustc --version) with its own $WASM_TARGET"
            cargo "$subcommand" --target "$WASM_TARGET" "$@"
            ;;
        debian)
            echo "toolchain: Debian's $(/usr/bin/rustc --version), standard library from its sources"
            RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
                /usr/bin/cargo "$subcommand" -Z build-std="$crates" --target "$WASM_TARGET" "$@"
            ;;
    esac
}
