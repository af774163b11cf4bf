#!/bin/sh
# A handler as the `provided` runtimes have it: an executable that speaks the Runtime API itself, here with curl.
# It answers an event with itself; one that says "raise" fails, and one that says "exit" ends it.
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
while :; do
  curl -sS -o "$folder/event" -D "$folder/headers" "$api/next"
  id=$(sed -n 's/^lambda-runtime-aws-request-id: *\([^[:space:]]*\).*/\1/Ip' "$folder/headers")
  if grep -q '"raise"' "$folder/event"; then
    curl -sS -o /dev/null -H 'Lambda-Runtime-Function-Error-Type: Function.NoSuchCity' \
      -d '{"errorType":"Function.NoSuchCity","errorMessage":"bad row"}' "$api/$id/error"
  elif grep -q '"exit"' "$folder/event"; then
    exit 9
  else
    echo "hello from the handler"
    curl -sS -o /dev/null --data-binary "@$folder/event" "$api/$id/response"
  fi
done
