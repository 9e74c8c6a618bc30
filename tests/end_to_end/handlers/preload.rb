# A handler for --preload: it notes each time that it is loaded, and does what its jobs say.
LOADED_BY = Process.pid
File.write('loaded', "#{LOADED_BY}\n", mode: 'a')
$stdout.write('half a line, ')
$calls = 0

def connect = $calls += 1

def handler(job)
  Process.kill('KILL', { 'worker' => Process.pid, 'template' => LOADED_BY }[job['kill']]) if job['kill']
  File.write(job['touch'], '') if job['touch']
  sleep(job['sleep']) if job['sleep']
  {
    slot: ENV['FORKPOOL_SLOT'],
    calls: $calls,
    random: rand,
    is_forked: Process.pid != LOADED_BY,
    is_own: Process.ppid != LOADED_BY && Process.getpgrp == Process.pid,
    stdin: $stdin.read
  }
end
