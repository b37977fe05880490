#!/bin/bash
# dracut module that puts our stand-in into an initrd, loaded first of all, as a kernel has its own.
# shellcheck disable=SC2154 # dracut sets the variables that are not set here

check() {
    return 0
}

depends() {
    return 0
}

install() {
    inst_simple /standin/cma_standin.ko
    inst_multiple insmod
    if dracut_module_included systemd; then
        inst_simple "$moddir/cma-standin.service" "$systemdsystemunitdir/cma-standin.service"
        mkdir -p "$initdir$systemdsystemunitdir/sysinit.target.wants"
        ln -s ../cma-standin.service "$initdir$systemdsystemunitdir/sysinit.target.wants/"
    else
        inst_hook cmdline 01 "$moddir/cma-standin.sh"
    fi
}
