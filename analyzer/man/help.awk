# SPDX-License-Identifier: MIT
# The help text of a command, which the program makes from its tables of options, as a section of a manual page.
# usage: awk -v name=COMMAND -f help.awk

function escaped(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/^[.']/, "\\\\\\&&", text)
    return text
}

function trimmed(text) {
    gsub(/^ +| +$/, "", text)
    return text
}

BEGIN { part = "usage"; print ".SS memshim " name }

part == "usage" && /^$/ { print ".fi"; part = "text"; print ".PP"; next }
part == "usage" {
    if (!begun++)
        print ".nf"
    sub(/^usage: /, "")
    print escaped(trimmed($0))
    next
}
/^$/ { print ".PP"; next }
/^[^ ].*:$/ { if ($0 != "options:") print escaped($0); next }
/^  +-/ {
    # What it is called, two blanks or more, what it does; or only what it is called.
    line = trimmed($0)
    at = match(line, /  +/)
    print ".TP"
    print "\\fB" escaped(at ? substr(line, 1, at - 1) : line) "\\fR"
    if (at)
        print escaped(trimmed(substr(line, at)))
    next
}
/^ +[a-z0-9]+  +[^ ]/ {
    # A value that the option can have.
    line = trimmed($0)
    at = match(line, / /)
    print ".br"
    print "\\fB" escaped(substr(line, 1, at - 1)) "\\fR: " escaped(trimmed(substr(line, at)))
    next
}
{ print escaped(trimmed($0)) }
