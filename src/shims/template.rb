# The template that workers are forked from (--preload). This stands behind the code of the worker, in the place of its
# last line.
#
# Requests come in on descriptor 3, a socket: the number of a slot with the worker's stdin, stdout and stderr beside it.
# The answer is the worker's process id, or the negative number of an error. The worker is forked twice. The process
# between ends at once, so that forkpool, which is the parent of all orphans here, becomes the worker's parent. The worker
# begins when the template has seen that and has answered; if the template dies before, the worker ends.
require 'socket'

module ForkpoolWorker
  POOL = SPEC['pool'] # the process of forkpool
  # The number of the system call prctl, by which a process asks to be killed with its parent.
  PRCTL = { 'x86_64' => 157, 'aarch64' => 167 }[RbConfig::CONFIG['host_cpu']]
  PARENT_DEATH_SIGNAL = 1
  KILL = 9

  module_function

  # A fork copies only the thread that calls it: what others were doing would never be done in a worker.
  def refuse_threads
    threads = (Thread.list - [Thread.current]).map { |thread| thread.name || thread.inspect }
    return if threads.empty?

    raise ThreadError, '--preload cannot fork a process that has threads, and the file has started: ' \
                       "#{threads.join(', ')}. Threads, and what has some of its own, are for the function of --init", []
  rescue ThreadError => e
    fatal(e)
  end

  # Returns the worker's process id, and what to write to for it to begin; nil in the worker itself.
  def fork_worker(slot, ios)
    known, told = IO.pipe
    begins, signal_to_begin = IO.pipe
    between = fork
    if between.nil?
      worker = fork_again(told)
      exit!(0) if worker
      [known, told, signal_to_begin].each(&:close)
      become_worker(slot, ios, begins)
      return nil
    end
    [told, begins].each(&:close)
    answer = known.read(4)
    Process.wait(between)
    [answer ? answer.unpack1('l<') : -Errno::EAGAIN::Errno, signal_to_begin]
  ensure
    known.close if known && !known.closed?
  end

  # In the process between: forks the worker and tells its id, or the error's negative number. Nil in the worker.
  def fork_again(told)
    begin
      worker = fork
      Process.setpgid(worker, worker) if worker # before anybody knows of it
    rescue SystemCallError => e
      worker = -e.errno
    end
    told.syswrite([worker].pack('l<')) if worker
    worker
  end

  # Waits until forkpool is the parent, and takes over all that a worker of its own process would have.
  def become_worker(slot, ios, begins)
    begun = begins.read(1)
    exit!(1) unless begun # nobody knows of this process
    begins.close
    die_with_parent
    if Process.ppid != POOL
      warn "the parent of this worker is #{Process.ppid} and not forkpool, #{POOL}"
      exit!(1)
    end
    [IN, OUT, STDERR].zip(ios) { |io, given| io.reopen(given) }
    STDOUT.reopen(STDERR)
    ios.each(&:close)
    [IN, OUT].each { |io| io.close_on_exec = true }
    [OUT, STDOUT, STDERR].each { |io| io.sync = true }
    [STDOUT, STDERR].each { |io| io.set_encoding(Encoding::BINARY) }
    ENV['FORKPOOL_SLOT'] = slot.to_s
    @process = Process.pid
    srand
  end

  # Of an orphan's parent that is a thread that lives as long as forkpool. Where it cannot be asked for, a worker ends
  # with its input, or with its process group, which forkpool's watcher knows.
  def die_with_parent
    return unless PRCTL

    verbose, $VERBOSE = $VERBOSE, nil # syscall warns that it may not be everywhere
    syscall(PRCTL, PARENT_DEATH_SIGNAL, KILL, 0, 0, 0)
    $VERBOSE = verbose
  end

  # Forks a worker for each request. Returns in the workers.
  def answer_requests(requests)
    loop do
      message, _, _, *beside = requests.recvmsg(4, 0, 64, scm_rights: true)
      exit!(0) if message.nil? || message.empty? # no more workers are needed
      ios = beside.flat_map(&:unix_rights)
      begin
        number, signal_to_begin = fork_worker(message.unpack1('l<'), ios)
        return if number.nil?
      rescue SystemCallError => e
        number = -e.errno
      end
      ios.each(&:close)
      answer_request(requests, number, signal_to_begin)
    end
  end

  def answer_request(requests, number, signal_to_begin)
    requests.sendmsg([number].pack('l<'))
    signal_to_begin.syswrite('!') if signal_to_begin && number.positive?
  rescue SystemCallError
    nil # forkpool is gone, or the worker
  ensure
    signal_to_begin&.close
  end

  def run_template(main)
    handler, init = load(SPEC, main)
    exit if child? # a child that the file has forked has come back
    refuse_threads
    # What is in a buffer would be written by each worker.
    [$stdout, $stderr].each(&:flush)
    # What the collector has looked at often is old, and is left alone by most of its later rounds.
    Process.respond_to?(:warmup) ? Process.warmup : GC.start
    send_line('{"status":"ready"}')
    requests = Socket.for_fd(3)
    requests.autoclose = false # its number is that of the jobs in a worker
    answer_requests(requests)
    work(SPEC, handler, init)
  end
end

ForkpoolWorker.run_template(self)
