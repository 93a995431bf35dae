#!/bin/sh
# Turns the Friday docket rule off: flips the flag file $OPS_DATA/docket_rule from "on" to "off".
#
# Runs in this folder with a cleared environment, without standard input, and is given
#   OPS_INCIDENT, OPS_PLAN, OPS_FENCE, OPS_FROM_REVISION, OPS_DATA
# Exit codes: 0 the rule is off now, 64 called without what it needs, 65 the flag is not what it should be,
#             74 the flag cannot be written.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

fail() {
    echo "rollback_docket_rule: $2" >&2
    exit "$1"
}

[ -n "${OPS_DATA:-}" ] || fail 64 "OPS_DATA is not set: set it to the data folder of the docket service"
[ -d "$OPS_DATA" ] || fail 64 "OPS_DATA is not a folder: $OPS_DATA"

flag="$OPS_DATA/docket_rule"
[ -f "$flag" ] || fail 65 "no flag file: $flag"

state=$(cat "$flag") || fail 74 "cannot read $flag"
case "$state" in
    off)
        echo "docket rule is off already; nothing to do (incident ${OPS_INCIDENT:-none})"
        exit 0
        ;;
    on) ;;
    *) fail 65 "the flag in $flag is neither on nor off" ;;
esac

# Readers see the old flag or the new one, never half of it: write beside it, then rename.
new="$flag.new.$$"
trap 'rm -f "$new"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
(echo off > "$new") 2>/dev/null || fail 74 "cannot write to $OPS_DATA"
mv -f "$new" "$flag" || fail 74 "cannot replace $flag"

echo "docket rule turned off (plan ${OPS_PLAN:-none}, incident ${OPS_INCIDENT:-none}, fence ${OPS_FENCE:-none})"
