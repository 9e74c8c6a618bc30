# A worker in bash and nothing else: forkpool -i samples/names.csv -- bash samples/workers/worker.sh
# It does not parse JSON: the name must be the first field and have no backslash in it, or the job ends in an error.
# For any JSON see worker.jq.
exec 4>&1 1>&2 # descriptor 4 is the reply, stray output goes to stderr
reply() { printf '%s\n' "$1" >&4; }

reply '{"status":"ready"}' # optional: says that all is loaded
while IFS= read -r line; do
  [[ $line =~ ^\{\"id\":([0-9]+), ]] || continue # forkpool writes the id first
  id=${BASH_REMATCH[1]} data=${line#*\"data\":}
  if ! [[ $data =~ ^\{\ *\"name\":\ *\"([^\"\\]*)\" ]]; then
    reply '{"id":'"$id"',"status":"error","error":{"name":"BadName","message":"no plain name in the first field"}}'
  elif name=${BASH_REMATCH[1]}; [[ $name == *x ]]; then
    reply '{"id":'"$id"',"status":"error","error":{"name":"KittenBites","message":"'"$name"' bites"}}'
  else
    reply '{"id":'"$id"',"status":"ok","data":{"name":"'"$name"'","petted":true}}'
  fi
done
