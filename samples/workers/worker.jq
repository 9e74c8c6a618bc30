# A worker in jq: forkpool -i samples/names.csv -- jq -c --unbuffered -f samples/workers/worker.jq
def pet_kitten:
  if (.name | endswith("x")) then error({name: "KittenBites", message: "\(.name) bites"})
  else {name, petted: true} end;

def as_error:
  if type == "object" then . else {name: "JqError", message: tostring} end;

. as {$id, $data}
| try {$id, status: "ok", data: ($data | pet_kitten)}
  catch {$id, status: "error", error: as_error}
