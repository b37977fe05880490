#!/bin/bash
# dracut module: bakes the trusted roots into the initrd, and has them loaded before udev starts.
# shellcheck disable=SC2154 # dracut sets the variables that are not set here

options=""

# Say why the initrd will be without roots; that ends dracut only where they are required.
_cmakeys_without() {
    case " $options " in
    *" --required "*)
        dfatal "cmakeys: $*, and the roots for PCIe devices are required"
        exit 1
        ;;
    esac
    derror "cmakeys: this initrd has no roots for PCIe devices: $*"
}

_cmakeys_command() {
    PATH=$PATH:/usr/local/sbin:/usr/local/bin cmakeys "$@"
}

check() {
    if ! _cmakeys_command --version &>/dev/null; then
        _cmakeys_without "the command cmakeys does not run"
        return 1
    fi
    if ! require_binaries keyctl; then
        _cmakeys_without "there is no keyctl: install the package keyutils"
        return 1
    fi
    return 0
}

depends() {
    return 0
}

install() {
    local work status
    work=$(mktemp -d "${DRACUT_TMPDIR:-/var/tmp}/cmakeys.XXXXXX") || return 1
    # shellcheck disable=SC2086 # the options are words
    _cmakeys_command image bake --sysroot "${dracutsysrootdir:-/}" --format dir -o "$work/image" $options >/dev/null
    status=$?
    if [ "$status" -ne 0 ]; then
        rm -rf "$work"
        _cmakeys_without "baking them failed with exit status $status"
        return 0
    fi
    inst_multiple keyctl mkdir sleep
    mkdir -p "$initdir/usr/lib"
    cp -r --preserve=mode,timestamps "$work/image/usr/lib/cmakeys" "$initdir/usr/lib/"
    if dracut_module_included systemd; then
        mkdir -p "$initdir$systemdsystemunitdir"
        cp -r --preserve=mode,timestamps "$work/image/usr/lib/systemd/system/." "$initdir$systemdsystemunitdir/"
    else
        inst_hook pre-udev 05 "$moddir/cmakeys.sh"
    fi
    rm -rf "$work"
}
