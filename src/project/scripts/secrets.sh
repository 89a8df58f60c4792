# Secrets come as NAME=base64 in a file that lives in memory only; here they become the app's environment.
aliform_file="$ROOT/run/aliform/$STACK.$APP/secrets.env"
if [ -f "$aliform_file" ]; then
  while IFS= read -r aliform_line || [ -n "$aliform_line" ]; do
    aliform_name=${aliform_line%%=*}
    case $aliform_name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    # The x keeps line ends that the shell would cut.
    aliform_value=$(printf '%s' "${aliform_line#*=}" | base64 -d && printf x)
    export "$aliform_name=${aliform_value%x}"
  done <"$aliform_file"
fi
unset aliform_line aliform_value
