# bash completion for cmakeys(8). What can stand where, cmakeys says itself: see cmakeys-completion(8).
# The words are taken from the line, since bash cuts them at the colons of addresses and at equals signs.
_cmakeys() {
    local current line stem
    local -a words
    COMPREPLY=()
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    stem=
    [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && stem=${current%"${current##*:}"}
    [[ $COMP_WORDBREAKS == *=* && $current == *=* && ${current%%=*}= == --*= ]] && stem=${current%%=*}=
    while IFS= read -r line; do
        case $line in
            '!files')
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -f -- "${current#"$stem"}")
                ;;
            '!folders')
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -d -- "${current#"$stem"}")
                ;;
            ?*)
                line=${line%% *}
                COMPREPLY+=("${line#"$stem"}")
                ;;
        esac
    done < <("${words[0]}" completion bash -- "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -F _cmakeys cmakeys
