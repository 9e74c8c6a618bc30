# The worker around a Ruby handler.
#
# Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. Each job
# is answered before the next one starts. In batches the jobs up to an empty line are one call, which takes and returns
# lists, and whose answers are one write.
#
# The handler is given a second argument (progress, attempt, job) if it requires one or names it `context`. Whatever
# it raises, SystemExit included, is the error of its job; exit! ends the worker. A result that JSON has no form for is
# an error that says where it sits.
require 'json'

module ForkpoolWorker
  # An error in the form of the npm package serialize-error.
  class Serializer
    DEPTH = 20 # levels of nested causes and values
    TEXT = 100_000 # characters of one text
    TOTAL = 1_000_000 # characters of the whole error
    # Methods that hold what other languages keep in fields.
    METHODS = %i[code errno errors retryable retry_after pause status path].freeze

    def initialize
      @around = [] # the objects around the present one: to meet one of them again is a cycle
      @left = TOTAL
    end

    def text(string)
      string = string.encode('UTF-8', invalid: :replace, undef: :replace).scrub
      most = TEXT.clamp(0, [@left, 0].max)
      @left -= [string.length, most].min
      string.length > most ? "#{string[0, most]}\u2026" : string
    end

    def value(any)
      @left -= 8 # numbers and brackets count as well
      case any
      when nil, true, false, Integer then return any
      when Float then return any.finite? ? any : nil
      when String, Symbol then return text(any.to_s)
      when Exception, Hash, Array then nil
      else return text(as_text { any.to_s })
      end
      return '[Circular]' if @around.any? { |object| object.equal?(any) }
      return '[Too deep]' if @around.size >= DEPTH

      @around.push(any)
      begin
        members(any)
      rescue StandardError
        '[Throws]'
      ensure
        @around.pop
      end
    end

    private

    def members(any)
      case any
      when Exception then error(any)
      when Array then any.each_with_object([]) { |item, out| out << value(item) if @left.positive? }
      else any.each_with_object({}) { |(key, item), out| out[text(key.to_s)] = value(item) if @left.positive? }
      end
    end

    def error(error)
      name = text(error.class.name || 'Error')
      message = text(as_text { error.message.to_s })
      out = { 'name' => name, 'message' => message, 'stack' => text(stack(error, "#{name}: #{message}")) }
      fields = {}
      METHODS.each do |key|
        fields[key.to_s] = field { error.public_send(key) } if field { plain_method?(error, key) } == true
      end
      fields['code'] ||= error.class.name[/\AErrno::(.*)/, 1] if error.is_a?(SystemCallError)
      error.instance_variables.each { |key| fields[key.to_s.delete_prefix('@')] ||= error.instance_variable_get(key) }
      fields['cause'] ||= error.cause
      fields.each do |key, item|
        out[text(key)] = value(item) unless item.nil? || out.key?(key) || !@left.positive?
      end
      out
    end

    def plain_method?(error, key)
      error.respond_to?(key) && error.method(key).arity.between?(-1, 0)
    end

    def stack(error, first)
      lines = as_text { error.backtrace }
      return first unless lines.is_a?(Array)

      lines = lines.take_while { |line| !line.start_with?('-e:') }
      [first, *lines.reject { |line| line.start_with?('<internal:') }].join("\n    from ")
    end

    def as_text
      yield
    rescue StandardError
      '[Throws]'
    end
    alias field as_text
  end

  # The handler's second argument.
  Context = Struct.new(:job, :attempt) do
    def progress(data)
      ForkpoolWorker.send_line(%({"id":#{job},"status":"progress","data":#{ForkpoolWorker.encode(data)}}))
    end
  end

  IN = IO.for_fd(3, 'rb')
  OUT = IO.for_fd(4, 'wb')
  # Not in a handler's children.
  [IN, OUT].each { |io| io.close_on_exec = true }
  OUT.sync = true

  module_function

  def send_line(line)
    OUT.write(line, "\n")
  rescue Errno::EPIPE
    exit!(0) # nobody is there any more
  end

  @process = Process.pid

  # Whether this is a child that the handler has forked.
  def child?
    Process.pid != @process
  end

  def send_result(id, result)
    exit if child? # a child that the handler forked has come back, and is no second worker
    send_line(result_line(id, result))
  end

  def send_error(id, error)
    send_line(error_line(id, error))
  end

  def result_line(id, result)
    %({"id":#{id},"status":"ok","data":#{encode(result)}})
  end

  def error_line(id, error)
    %({"id":#{id},"status":"error","error":#{error_json(error)}})
  end

  def error_json(error)
    JSON.generate(Serializer.new.value(error), max_nesting: 0)
  rescue Exception # out of memory, or of stack
    JSON.generate({ name: error.class.name, message: 'cannot be shown' })
  end

  def fatal(error, status = 'fatal')
    send_line(%({"status":"#{status}","error":#{error_json(error)}}))
    exit!(1)
  end

  # --- results

  # Levels of nesting in a job or a result; a cycle ends there.
  NESTING = 10_000

  # By its class, to_json knows that a text is asked for by this program.
  class State < JSON::State; end
  STATE = State.new(max_nesting: NESTING)

  # Before the to_json that the json library gives to all objects, and after those of their own.
  module Form
    def to_json(state = nil, *)
      state.is_a?(State) ? ForkpoolWorker.form(self).to_json(state) : super
    end
  end
  Object.include(Form)

  # Of a value that JSON has no form for.
  class NoForm < TypeError; end

  def encode(result)
    STATE.generate(result)
  rescue JSON::NestingError
    STATE.depth = 0
    raise
  rescue JSON::GeneratorError, NoForm # NaN, a text that is no UTF-8
    STATE.depth = 0
    STATE.generate(plain(result, '$'))
  end

  # What an object is in JSON: its as_json (of ActiveSupport), its fields, or its own text (Symbol, Time, URI).
  def form(any)
    raise NoForm if [Exception, Module, Proc, Enumerator].any? { |kind| kind === any }
    return any.as_json if any.respond_to?(:as_json)
    return any.to_h if any.respond_to?(:to_h) && any.method(:to_h).owner != Enumerable
    return (any.finite? ? any.to_s('F') : nil) if any.class.name == 'BigDecimal'

    text = any.to_s
    raise NoForm if any.method(:to_s).owner == Kernel || text.start_with?('#<')
    text
  end

  # What JSON knows, and nothing else: NaN and infinities are nil. Raises a TypeError that names the place.
  def plain(any, path)
    case any
    when nil, true, false, Integer then any
    when Float then any.finite? ? any : nil
    when Array then any.each_with_index.map { |item, index| plain(item, "#{path}[#{index}]") }
    when Hash then any.to_h { |key, item| [key, plain(item, path + step(key.to_s))] }
    else plain_object(any, path)
    end
  end

  def plain_object(any, path)
    has_own = any.is_a?(String) || any.method(:to_json).owner != Form
    has_own ? JSON.parse(STATE.generate(any), max_nesting: NESTING) : plain(form(any), path)
  rescue NoForm
    kind = any.class.name || 'object'
    raise TypeError, "#{path}: #{kind.match?(/\A[aeiou]/i) ? 'an' : 'a'} #{kind} is no JSON", cause: nil
  rescue JSON::GeneratorError => e
    raise TypeError, "#{path}: #{any.is_a?(String) ? 'text that is no UTF-8' : e.message}", cause: nil
  end

  def step(key)
    key.match?(/\A\w+\z/) ? ".#{key}" : "[#{key.inspect}]"
  end

  # --- the handler

  def refuse(reason, names)
    raise LoadError, names.empty? ? reason : "#{reason}; there are: #{names.join(', ')}", []
  end

  # What can be called and the file itself defines at its top level, by name: methods, and constants such as lambdas.
  def own_functions(file, main)
    names = Object.private_instance_methods(false) + Object.instance_methods(false) + main.singleton_methods(false)
    methods = names.uniq.map { |name| main.method(name) }
    methods.select! { |method| here?(file, method.source_location) && !method.name.start_with?('_') }
    methods.sort_by! { |method| method.source_location.last }
    constants = Object.constants(false).select { |name| here?(file, Object.const_source_location(name)) }
    callables = methods.map { |method| [method.name, method] } + constants.map { |name| [name, Object.const_get(name)] }
    callables.select { |_, callable| callable.respond_to?(:call) }.to_h.transform_keys(&:to_s)
  end

  def here?(file, location)
    location&.first.to_s.b == file.b # the two encodings may differ
  end

  # What has this name in the file, wherever it was defined: a method, a constant or a global variable.
  def named(name, main)
    if main.respond_to?(name, true) && main.method(name).owner != Kernel
      main.method(name)
    elsif name.match?(/\A[A-Z]\w*\z/)
      Object.const_get(name) if Object.const_defined?(name)
    elsif global_variables.include?(:"$#{name}")
      eval("$#{name}")
    end
  end

  # The callable as one of (data, context), whatever it takes itself.
  def with_context(callable)
    method = callable.respond_to?(:parameters) ? callable : callable.method(:call)
    second = method.parameters[1]
    return callable if second && (second[0] == :req || second == %i[opt context])

    ->(data, _context) { callable.call(data) }
  end

  # What has this name in the file and is to be called; nil if there is no such thing.
  def callable(file, name, functions, main)
    callable = functions[name] || named(name, main)
    return callable if callable.nil? || callable.respond_to?(:call)

    refuse("#{file}: #{name} is of class #{callable.class} and has no call", functions.keys)
  end

  # What is named is used, or refused; a guess is only for a file that names nothing.
  def choose(file, name, functions, main, init)
    (name ? [name] : %w[handler HANDLER Handler]).each do |each|
      callable = callable(file, each, functions, main)
      return callable if callable && (name || callable != init)
    end
    refuse("#{file} has no function #{name}", functions.keys) if name
    refuse("#{file}: handler is a local variable, which is seen by nobody else; make it HANDLER", []) if local?(file)
    return functions.values.first if functions.size == 1

    refuse("#{file} has #{functions.empty? ? 'no function' : 'several functions'}", functions.keys)
  end

  # Whether the file has a variable `handler`. Where Ruby cannot tell, it has none.
  def local?(file)
    RubyVM::InstructionSequence.compile_file(file).to_a[10].include?(:handler)
  rescue StandardError, NameError
    false
  end

  # With --route, the job's own choice among the file's functions.
  def routed(functions, route)
    handlers = functions.transform_values { |callable| with_context(callable) }
    lambda do |data, context|
      name = data.is_a?(Hash) ? data[route] : nil
      function = handlers[name] || refuse("no function to route #{JSON.generate(name)} to", functions.keys)
      function.call(data, context)
    end
  end

  # The handler, and the function of --init.
  def load(spec, main)
    send_line('{"status":"loading","data":"the file of the handler"}')
    file = spec['file']
    ARGV.clear
    # A log must not fail for a letter that the locale does not have.
    [$stdout, $stderr].each { |io| io.set_encoding(Encoding::BINARY) }
    $stdout.sync = true
    # forkpool says when to end. (Children of the handler do not inherit this.)
    trap('INT') {}
    require file
    functions = own_functions(file, main)
    init = init_function(file, spec['init'], functions, main)
    functions.reject! { |name, callable| name == spec['init'] || callable == init }
    return with_context(choose(file, spec['function'], functions, main, init)), init unless spec['route']

    refuse("#{file} has no function", []) if functions.empty?
    [routed(functions, spec['route']), init]
  rescue Exception => e
    raise if child? # a child, which ends by itself

    fatal(e)
  end

  def init_function(file, name, functions, main)
    name && (callable(file, name, functions, main) || refuse("#{file} has no function #{name}", functions.keys))
  end

  def call_init(name, init)
    send_line(%({"status":"init","data":#{JSON.generate(name)}}))
    init.call
    exit if child? # a child that it has forked has come back
  rescue Exception => e
    raise if child?

    fatal(e, 'unstarted')
  end

  def run(spec, main)
    work(spec, *load(spec, main))
  end

  # Does jobs until there are no more.
  def work(spec, handler, init)
    call_init(spec['init'], init) if init && spec['calls_init']
    send_line('{"status":"ready"}')
    spec['batch'] ? serve_batches(handler) : serve_jobs(handler)
    # Threads that the handler left behind keep nobody alive; at_exit is run.
    exit
  end

  def serve_jobs(handler)
    while (line = IN.gets)
      job = parse(line)
      serve(handler, job) if job
    end
  end

  # Nil after an error reply, for a job that Ruby cannot read.
  def parse(line)
    parsed(line)
  rescue StandardError, SystemStackError => e
    send_error(number(line), e)
    nil
  end

  def parsed(line)
    JSON.parse(line.force_encoding('UTF-8'), max_nesting: NESTING)
  end

  def number(line)
    line[/\A{"id":(\d+)/, 1]
  end

  def serve(handler, job)
    id = job['id']
    send_result(id, handler.call(job['data'], Context.new(id, job['attempt'] || 1)))
  rescue Exception => e
    raise if child? # a child that the handler forked ends as Ruby ends

    send_error(id, e)
  end

  # The jobs of the lines up to an empty one are one call.
  def serve_batches(handler)
    lines = []
    while (line = IN.gets)
      next lines << line if line != "\n"

      send_line(answers(handler, lines))
      lines = []
    end
  end

  def answers(handler, lines)
    jobs = lines.map { |line| parsed(line) }
    contexts = jobs.map { |job| Context.new(job['id'], job['attempt'] || 1) }
    results = handler.call(jobs.map { |job| job['data'] }, contexts)
    exit if child? # as in send_result
    kind = results.is_a?(Array) ? "a list of #{results.size}" : "no list but #{results.class}"
    good = results.is_a?(Array) && results.size == jobs.size
    raise TypeError, "the handler returned #{kind} for a list of #{jobs.size}" unless good

    jobs.zip(results).map { |job, result| answer(job['id'], result) }.join("\n")
  rescue Exception => e
    raise if child? # as in serve
    return error_line(number(lines[0]), e) if lines.size == 1

    lines.map { |line| %({"id":#{number(line)},"status":"again"}) }.join("\n")
  end

  # The reply to one job of a batch. An exception among the results is the error of its job.
  def answer(id, result)
    result.is_a?(Exception) ? error_line(id, result) : result_line(id, result)
  rescue StandardError, SystemStackError => e
    error_line(id, e)
  end
end

ForkpoolWorker::SPEC = JSON.parse(ARGV[0].dup.force_encoding('UTF-8'))
ForkpoolWorker.run(ForkpoolWorker::SPEC, self)
