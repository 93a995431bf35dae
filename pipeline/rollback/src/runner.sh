# Runs script $1 and writes how it ended to file $2, for an agent that may be gone by then. $3: its output.
# A signal to the whole group is the script's to obey; this waits for its end.
trap : TERM INT HUP
# What a shell adds of its own is not the script's to see.
unset PWD OLDPWD SHLVL
tries=0
while :; do
    (
        # An exec that works leaves no shell behind to say otherwise.
        trap ': > "$2.refused"' EXIT
        exec "$1"
    )
    code=$?
    [ -e "$2.refused" ] || break
    # 126: there, but not to be started. Whoever still writes it is given a second.
    [ "$code" -eq 126 ] && [ "$tries" -lt 20 ] || break
    tries=$((tries + 1))
    rm -f "$2.refused"
    : > "$3"
    sleep 0.05
done
word=exited
[ -e "$2.refused" ] && word=refused
printf '%s %s\n' "$word" "$code" > "$2.new"
sync "$2.new" 2> /dev/null
mv "$2.new" "$2"
exit "$code"
