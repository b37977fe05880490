# fish completion for cmakeys(8). What can stand where, cmakeys says itself: see cmakeys-completion(8).
function __cmakeys_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command $words[1] completion fish -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case '!files'
                __fish_complete_path (string replace -r -- '^--[a-z-]+=' '' $current)
            case '!folders'
                __fish_complete_directories (string replace -r -- '^--[a-z-]+=' '' $current)
            case '*'
                string replace -- ' ' \t $line
        end
    end
end
complete -c cmakeys -f -a '(__cmakeys_candidates)'
