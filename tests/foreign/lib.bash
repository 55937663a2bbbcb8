# What the scripts share: checks, requests, messages, signatures. Sourced, after `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034 # what seems unused is used by the scripts

shopt -s inherit_errexit
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${WORK:?start this script with tests/foreign/run}" "${PHASE:?}" "${DEVICE_URL:?}" "${TOLD_URL:?}" "${ADMIN_URL:?}" \
  "${CA_FILE:?}" "${TOKEN:?}" "${IDENTITIES:?}"

HEAD=$WORK/head ANSWER=$WORK/answer STATUS=''
CURL=(curl --silent --show-error --max-time 20 --cacert "$CA_FILE")
BEARER="Authorization: Bearer $TOKEN"
failures=0

# --- checks: each prints one line ---

# ok TEXT, failed TEXT [DETAILS]
ok() { printf 'ok      %s\n' "$1"; }
failed() {
  printf 'FAILED  %s\n' "$1"
  [[ -z ${2-} ]] || head -c 2000 <<<"$2" | sed 's/^/        /'
  failures=$((failures + 1))
}

# check TEXT COMMAND…: the command succeeds.
check() {
  local text=$1 output
  shift
  if output=$("$@" 2>&1); then ok "$text"; else failed "$text" "$output"; fi
}

# fails TEXT PATTERN COMMAND…: the command fails, and says why.
fails() {
  local text=$1 pattern=$2 output
  shift 2
  if output=$("$@" 2>&1); then
    failed "$text" "it succeeds: $output"
  elif grep -q -- "$pattern" <<<"$output"; then
    ok "$text"
  else
    failed "$text" "$output"
  fi
}

# same TEXT EXPECTED ACTUAL
same() {
  if [[ $2 == "$3" ]]; then ok "$1"; else failed "$1" "expected $2"$'\n'"found    $3"; fi
}

# The end of every script.
finish() { exit $((failures > 0)); }

# --- requests: STATUS, $HEAD and $ANSWER hold what came back ---

# answers TEXT STATUS CURL-ARGUMENT…
answers() {
  local text=$1 wanted=$2
  shift 2
  : >"$ANSWER"
  STATUS=$("${CURL[@]}" --output "$ANSWER" --dump-header "$HEAD" --write-out '%{http_code}' "$@") || STATUS=none
  if [[ $STATUS == "$wanted" ]]; then
    ok "$text"
  else
    failed "$text" "status $STATUS instead of $wanted: $(tr --delete '\0' <"$ANSWER" | head -c 500)"
  fi
}

# device TEXT STATUS MESSAGE [CURL-ARGUMENT]…: a message to the address of enrolled devices. Whatever it is, the answer is
# never 401 or 403: a device would remove its management.
device() {
  local text=$1 wanted=$2 message=$3
  shift 3
  [[ " $* " == *" Content-Type:"* ]] || set -- --header "Content-Type: application/x-apple-aspen-mdm" "$@"
  answers "$text" "$wanted" --request PUT --data-binary "@$message" "$@" "$DEVICE_URL/mdm/apple/mdm"
  [[ $STATUS != 40[13] ]] || failed "$text: no 401 and no 403 for a device"
}

# value FILE KEY…: what stands there in a property list or a JSON file.
value() { "$HERE/value" "$@"; }

# --- enrollment ---

# profile FILE: a new enrollment profile, by the enroll secret; its signature is the profile script's business.
profile() {
  "${CURL[@]}" --fail --get --data-urlencode "token=$ENROLL_SECRET" "$DEVICE_URL/api/mdm/apple/enroll" |
    openssl cms -verify -noverify -inform DER -out "$1" 2>/dev/null
}

# scep_payload FILE KEY: from the SCEP payload of a profile.
scep_payload() { value "$1" PayloadContent PayloadType=com.apple.security.scep PayloadContent "$2"; }

# challenge: a new one-time challenge.
challenge() {
  profile "$WORK/profile.plist"
  scep_payload "$WORK/profile.plist" Challenge
}

# scep_url: where the server of this phase speaks SCEP; the path is the profile's.
scep_url() {
  profile "$WORK/profile.plist"
  local url
  url=$(scep_payload "$WORK/profile.plist" URL)
  echo "$DEVICE_URL${url#"$TOLD_URL"}"
}

# enroll_device IDENTITY UDID: check-in with an identity, signed by openssl: detached first, then with attached content.
enroll_device() {
  local signature
  authenticate_message "$WORK/authenticate.plist" "$2"
  token_message "$WORK/token.plist" "$2"
  signature=$(signature "$1" "$WORK/authenticate.plist")
  device "$1: Authenticate, detached signature" 200 "$WORK/authenticate.plist" --header "Mdm-Signature: $signature" \
    --header "Content-Type: application/x-apple-aspen-mdm-checkin"
  signature=$(signature "$1" "$WORK/token.plist" -nodetach)
  device "$1: TokenUpdate, signature with attached content" 200 "$WORK/token.plist" --header "Mdm-Signature: $signature" \
    --header "Content-Type: application/x-apple-aspen-mdm-checkin"
}

# --- messages of devices ---

# message FILE KEY VALUE…: a property list of texts; a value that begins with data: is data in Base64.
message() {
  local file=$1
  shift
  {
    printf '<?xml version="1.0" encoding="UTF-8"?>\n'
    printf '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
    printf '<plist version="1.0">\n<dict>\n'
    while [[ $# -gt 0 ]]; do
      case $2 in
        data:*) printf '\t<key>%s</key>\n\t<data>%s</data>\n' "$1" "${2#data:}" ;;
        *) printf '\t<key>%s</key>\n\t<string>%s</string>\n' "$1" "$2" ;;
      esac
      shift 2
    done
    printf '</dict>\n</plist>\n'
  } >"$file"
}

# authenticate_message FILE UDID, token_message FILE UDID, idle_message FILE UDID
authenticate_message() {
  message "$1" MessageType Authenticate Topic "$TOPIC" UDID "$2" SerialNumber "F${2: -8}" DeviceName "Foreign ${2: -2}" \
    Model Mac16,1 ModelName "MacBook Pro" OSVersion 15.1 BuildVersion 24B83 ProductName Mac16,1
}
token_message() {
  message "$1" MessageType TokenUpdate Topic "$TOPIC" UDID "$2" PushMagic "magic-$2" \
    Token "data:$(printf '%032d' "${2: -2}" | base64 --wrap=0)"
}
idle_message() { message "$1" Status Idle UDID "$2"; }

# signature IDENTITY FILE [CMS-ARGUMENT]…: the value of Mdm-Signature, one line of Base64. Detached unless asked otherwise.
signature() {
  openssl cms -sign -binary -outform DER -in "$2" -signer "$IDENTITIES/$1.crt" -inkey "$IDENTITIES/$1.key" "${@:3}" |
    base64 --wrap=0
}
