# Checks of environment variables for the scripts; source it.
# shellcheck shell=bash

# Ends with one sentence unless the variable $1 is a whole number of at least $2.
whole() {
  if [[ ! ${!1} =~ ^(0|[1-9][0-9]{0,5})$ ]] || ((${!1} < $2)); then
    echo "${0##*/}: $1=${!1} must be a whole number of at least $2, with at most 6 digits" >&2
    exit 2
  fi
}

# Makes the variable $1, which may be unset, 1 or 0.
switch() {
  local given=${!1:-0}
  case ${given,,} in
    0 | false | no | off) printf -v "$1" 0 ;;
    1 | true | yes | on) printf -v "$1" 1 ;;
    *) echo "${0##*/}: $1=$given must be 1 or 0" >&2 && exit 2 ;;
  esac
}
