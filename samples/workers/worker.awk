# A line filter in awk, one line out for each line in; it cannot say that a job failed:
# forkpool --from lines --protocol lines -- gawk -f samples/workers/worker.awk
# Other awks: mawk needs -W interactive as well, or it waits until its input buffer is full.
function pet_kitten(name) {
  return name ~ /x$/ ? name " bites" : name " purrs"
}

{
  print $0 == "" ? "nobody here" : pet_kitten($0) # a blank line is a job too
  fflush() # without it the line would stay in a buffer
}
