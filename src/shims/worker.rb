# The worker around a Ruby handler.
#
# Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. Each job
# is answered before the next one starts.
#
# The handler is given a second argument (progress, attempt, job) if it requires one or names it `context`. Whatever
# it raises, SystemExit included, is the error of its job; exit! ends the worker.
require 'json'

module ForkpoolWorker
  # An error in the form of the npm package serialize-error.
  class Serializer
    DEPTH = 20 # levels of nested causes and values
    TEXT = 100_000 # characters of one text
    TOTAL = 1_000_000 # characters of the whole error
    # Methods that hold what other languages keep in fields.
    METHODS = %i[code errno errors retryable retry_after status path].freeze

    def initialize
      @around = [] # the objects around the present one: to meet one of them again is a cycle
      @left = TOTAL
    end

    def text(string)
      string = string.encode('UTF-8', invalid: :replace, undef: :replace).scrub
      most = TEXT.clamp(0, [@left, 0].max)
      @left -= [string.length, most].min
      string.length > most ? "#{string[0, most]}…" : string
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
      lines = (error.backtrace || []).take_while { |line| !line.start_with?('-e:') }
      lines.reject! { |line| line.start_with?('<internal:') }
      stack = text(["#{name}: #{message}", *lines].join("\n    from "))
      out = { 'name' => name, 'message' => message, 'stack' => stack }
      fields = {}
      METHODS.each do |key|
        plain = error.respond_to?(key) && error.method(key).arity.between?(-1, 0)
        fields[key.to_s] = field { error.public_send(key) } if plain
      end
      fields['code'] ||= error.class.name[/\AErrno::(.*)/, 1] if error.is_a?(SystemCallError)
      error.instance_variables.each { |key| fields[key.to_s.delete_prefix('@')] ||= error.instance_variable_get(key) }
      fields['cause'] ||= error.cause
      fields.each do |key, item|
        out[text(key)] = value(item) unless item.nil? || out.key?(key) || !@left.positive?
      end
      out
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
      ForkpoolWorker.send_line(%({"id":#{job},"status":"progress","data":#{JSON.generate(data)}}))
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

  # What the result's own nesting allows; a cycle ends there.
  NESTING = 10_000

  def send_result(id, result)
    send_line(%({"id":#{id},"status":"ok","data":#{JSON.generate(result, max_nesting: NESTING)}}))
  end

  def send_error(id, error)
    send_line(%({"id":#{id},"status":"error","error":#{error_json(error)}}))
  end

  def error_json(error)
    JSON.generate(Serializer.new.value(error), max_nesting: 0)
  rescue Exception # out of memory, or of stack
    JSON.generate({ name: error.class.name, message: 'cannot be shown' })
  end

  def fatal(error)
    send_line(%({"status":"fatal","error":#{error_json(error)}}))
    exit!(1)
  end

  def refuse(reason, names)
    raise LoadError, names.empty? ? reason : "#{reason}; there are: #{names.join(', ')}", []
  end

  # The functions that the file itself defines at its top level, by name.
  def own_functions(file, main)
    names = Object.private_instance_methods(false) + Object.instance_methods(false) + main.singleton_methods(false)
    methods = names.uniq.map { |name| main.method(name) }
    own = methods.select { |method| method.source_location&.first == file && !method.name.start_with?('_') }
    own.to_h { |method| [method.name.to_s, with_context(method)] }
  end

  # The method as one of (data, context), whatever it takes itself.
  def with_context(method)
    second = method.parameters[1]
    return method if second && (second[0] == :req || second == %i[opt context])

    ->(data, _context) { method.call(data) }
  end

  def choose(file, named, functions)
    return functions[named] || refuse("#{file} has no function #{named}", functions.keys) if named

    refuse("#{file} has no function", []) if functions.empty?
    return functions['handler'] || functions.values.first if functions.key?('handler') || functions.size == 1

    refuse("#{file} has several functions", functions.keys)
  end

  # With --route, the job's own choice among the file's functions.
  def routed(functions, route)
    lambda do |data, context|
      name = data.is_a?(Hash) ? data[route] : nil
      function = functions[name] || refuse("no function to route #{JSON.generate(name)} to", functions.keys)
      function.call(data, context)
    end
  end

  def handler(spec, main)
    file = spec['file']
    $PROGRAM_NAME = file
    ARGV.clear
    $stdout.sync = true
    # forkpool says when to end. (Children of the handler do not inherit this.)
    trap('INT') {}
    require file
    functions = own_functions(file, main)
    return choose(file, spec['function'], functions) unless spec['route']

    refuse("#{file} has no function", []) if functions.empty?
    routed(functions, spec['route'])
  rescue Exception => e
    fatal(e)
  end

  def run(spec, main)
    handler = handler(spec, main)
    send_line('{"status":"ready"}')
    while (line = IN.gets)
      job = parse(line)
      serve(handler, job) if job
    end
    # Threads that the handler left behind keep nobody alive; at_exit is run.
    exit
  end

  # Nil after an error reply, for a job that Ruby cannot read.
  def parse(line)
    JSON.parse(line.force_encoding('UTF-8'), max_nesting: NESTING)
  rescue StandardError, SystemStackError => e
    send_error(line[/\A{"id":(\d+)/, 1], e)
    nil
  end

  def serve(handler, job)
    id = job['id']
    send_result(id, handler.call(job['data'], Context.new(id, job['attempt'] || 1)))
  rescue Exception => e
    send_error(id, e)
  end
end

ForkpoolWorker.run(JSON.parse(ARGV[0]), self)
