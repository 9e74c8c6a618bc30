# Functions for --init, and a handler that shows what they have done.
$calls = 0

def connect
  $calls += 1
  $slot = ENV['FORKPOOL_SLOT']
end

def refuse
  raise IOError, 'no database'
end

def refuse_once
  return if File.exist?('refused')

  File.write('refused', '')
  refuse
end

def leave = exit(3)

def handler(_job) = { calls: $calls, slot: $slot }
