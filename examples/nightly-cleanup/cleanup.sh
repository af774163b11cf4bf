# Removes the archives that were last changed more than DAYS days ago. Answers a record for each.

handler() {
    if [[ ! -d $ARCHIVES ]]; then
        echo "there is no folder $ARCHIVES" >&2
        return 1
    fi
    echo "removing archives older than $DAYS days from $ARCHIVES" >&2
    # Names with control characters would be no JSON, and are none of ours.
    find "$ARCHIVES" -type f -name '*.tar.gz' ! -name '*[[:cntrl:]]*' -mtime "+$DAYS" -printf '%s %f\n' -delete | records
}

# Lines of a size and a name as an array of records.
records() {
    local comma='' size name
    printf '['
    while read -r size name; do
        name=${name//\\/\\\\}
        name=${name//\"/\\\"}
        printf '%s{"removed": "%s", "bytes": %d}' "$comma" "$name" "$size"
        comma=', '
    done
    printf ']'
}
