# What the tests have a handler do, by the job's `do`.
module Acts
  module_function

  def echo(job, _) = job

  def print(_, _)
    puts '{"id":1,"status":"ok","data":"not from the worker"}'
    $stdout.print 'no line'
    system 'echo from a child'
    'printed'
  end

  def context(_, context)
    context.progress({ half: true })
    { number: context.job, attempt: context.attempt }
  end

  def fail(_, _) = raise(TypeError, 'it fails')
  def not_json(_, _) = { weight: Object.new }

  def circular(_, _)
    result = {}
    result[:result] = result
  end

  def nothing(_, _); end
  def text(job, _) = 'x' * job['size']

  def linger(_, _)
    Thread.new { sleep 3600 }
    nil
  end

  def note(job, _) = File.write(job['file'], job['text'], mode: 'a')
  def end(_, _) = exit!(3)
  def exit(_, _) = Kernel.exit(4)
  def child_descriptors(_, _) = IO.popen('ls /proc/self/fd', close_others: false, &:read).split
end

def handler(job, context)
  Acts.public_send(job['do'], job, context)
end
