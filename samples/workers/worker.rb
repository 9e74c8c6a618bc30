# A worker in Ruby, to start from: forkpool -i samples/names.csv -- ruby samples/workers/worker.rb
require 'json'

OUT = $stdout.dup
OUT.sync = true # each reply is written at once
$stdout.reopen($stderr) # stray output to stderr

def reply(message)
  OUT.write(JSON.generate(message) + "\n")
end

def pet_kitten(kitten)
  raise "#{kitten['name']} bites" if kitten['name'].end_with?('x')

  { name: kitten['name'], petted: true }
end

reply({ status: 'ready' }) # optional: says that all is loaded
$stdin.set_encoding('UTF-8').each_line do |line|
  next if line.strip.empty?
  job = JSON.parse(line)
  reply({ id: job['id'], status: 'ok', data: pet_kitten(job['data']) })
rescue StandardError => e
  reply({ id: job['id'], status: 'error', error: { name: e.class.name, message: e.message } })
end
