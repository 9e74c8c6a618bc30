//! Results: what has a form in JSON goes through in it, and what has none is an error that says where it sits.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// What becomes of a result.
enum Fate {
    /// The bytes of the record's data.
    Is(&'static str),
    /// An error whose message is this.
    Says(&'static str),
}
use Fate::{Is, Says};

/// Each job is an expression of the language, which the handler in `code` evaluates and returns.
#[track_caller]
fn check(ending: &str, runtime: &str, code: &str, cases: &[(&str, Fate)]) {
    let language = LANGUAGES.iter().find(|language| language.ending == ending).expect("it is one of them");
    if !(installed(language.runtime) && (runtime == language.runtime || has(runtime))) {
        return;
    }
    let folder = folder();
    let file = written(&folder, language, code);
    let jobs: Vec<Value> = cases.iter().map(|(expression, _)| json!(expression)).collect();
    let ended = run_with(&file, &["--runtime", runtime], &jobs);
    assert_eq!(ended.text().lines().count(), cases.len(), "{}", ended.stderr);
    for (line, (expression, fate)) in ended.text().lines().zip(cases) {
        match fate {
            Is(json) => {
                let data = line.split_once("\"data\":").map(|(_, data)| data.trim_end_matches('}'));
                assert_eq!(data, Some(json.trim_end_matches('}')), "{runtime}: {expression}: {line}");
            }
            Says(message) => {
                let record: Value = serde_json::from_str(line).unwrap();
                assert_eq!(record["error"]["message"], *message, "{runtime}: {expression}: {line}");
            }
        }
    }
}

#[test]
fn javascript_results_are_json_or_an_error() {
    let code = "class Point { x = 1; y = [2]; }\nclass Secret { #x = 1; }\nclass Cache extends Map { size_limit = 3; }\n\
                class Money { toJSON() { return '1.10'; } }\nclass Liar { toJSON() { return new Map(); } }\n\
                export default (code) => (0, eval)(`(${code})`);\nObject.assign(globalThis, { Point, Secret, Cache, Money, Liar });";
    let cases = [
        ("(function* () { yield 1; })()", Says("$: a Generator is no JSON")),
        ("({ a: [1, 2, { b: 3 }, new Map([[1, 2]])] })", Says("$.a[3]: a Map is no JSON")),
        ("[new Set([1])]", Says("$[0]: a Set is no JSON")),
        ("({ 'odd key': Promise.resolve(1) })", Says("$[\"odd key\"]: a Promise is no JSON")),
        ("({ e: new TypeError('x') })", Says("$.e: a TypeError is no JSON")),
        ("({ e: Object.assign(new Error('x'), { code: 1 }) })", Says("$.e: an Error is no JSON")),
        ("({ purr() {} })", Says("$.purr: a function is no JSON")),
        ("() => 1", Says("$: a function is no JSON")),
        ("Point", Says("$: a class is no JSON")),
        ("({ s: Symbol('x') })", Says("$.s: a symbol is no JSON")),
        ("({ n: [5n] })", Says("$.n[0]: a BigInt is no JSON")),
        ("({ re: /x/ })", Says("$.re: a RegExp is no JSON")),
        ("new Float32Array(2)", Says("$: a Float32Array is no JSON")),
        ("new Secret()", Says("$: a Secret is no JSON")),
        ("new Cache()", Says("$: a Cache is no JSON")),
        ("new Liar()", Says("$: a Map is no JSON")),
        ("new Response('x')", Says("$: a Response is no JSON")),
        ("({ deep: { er: new WeakMap() } })", Says("$.deep.er: a WeakMap is no JSON")),
        ("new Point()", Is("{\"x\":1,\"y\":[2]}")),
        ("({ m: [new Money()] })", Is("{\"m\":[\"1.10\"]}")),
        ("({ at: new Date(0) })", Is("{\"at\":\"1970-01-01T00:00:00.000Z\"}")),
        ("[NaN, Infinity, -Infinity, -0]", Is("[null,null,null,0]")),
        ("({ a: undefined, b: [undefined] })", Is("{\"b\":[null]}")),
        ("undefined", Is("null")),
        ("new URL('http://kitten.test/')", Is("\"http://kitten.test/\"")),
        ("Buffer.from([1])", Is("{\"type\":\"Buffer\",\"data\":[1]}")),
        ("Object.assign(Object.create(null), { a: 1 })", Is("{\"a\":1}")),
        ("[new String('a'), new Number(1), Object(true)]", Is("[\"a\",1,true]")),
        ("({ name: 'M\\u00fcller \\ud800' })", Is("{\"name\":\"M\u{fc}ller \\ud800\"}")),
    ];
    for runtime in ["node", "bun", "deno"] {
        check("mjs", runtime, code, &cases);
    }
}

#[test]
fn python_results_are_what_python_people_mean() {
    let code = r#"
import asyncio, collections, dataclasses, datetime, decimal, enum, ipaddress, math, pathlib, sqlite3, uuid
Row = collections.namedtuple("Row", "name age")
class Kind(enum.Enum): CAT = "cat"
class Level(enum.IntEnum): HIGH = 3
class Pet: pass
@dataclasses.dataclass
class Point:
    x: int
    at: datetime.date
class Model:  # pydantic's
    def model_dump(self, mode): return {"mode": mode}
class Attrs:  # of attrs
    __attrs_attrs__ = [type("Attribute", (), {"name": "claws"})]
    claws = 4
utc = datetime.timezone.utc
db = sqlite3.connect(":memory:")
db.row_factory = sqlite3.Row
def handler(code): return eval(code)
"#;
    let cases = [
        ("(n for n in [1])", Says("$: a generator is no JSON")),
        ("{'a': [1, 2, 3, {1, 2}]}", Says("$.a[3]: a set is no JSON")),
        ("{'b c': b'x'}", Says("$[\"b c\"]: a bytes is no JSON")),
        ("[Pet()]", Says("$[0]: a Pet is no JSON")),
        ("{'e': ValueError('x')}", Says("$.e: a ValueError is no JSON")),
        ("{'f': len}", Says("$.f: a builtin_function_or_method is no JSON")),
        ("{'t': Pet}", Says("$.t: a type is no JSON")),
        ("[1j]", Says("$[0]: a complex is no JSON")),
        ("{(1, 2): 3}", Says("$: a tuple is no key of JSON")),
        ("Point(1, {2})", Says("$.at: a set is no JSON")),
        ("datetime.timedelta(1, 3723.5)", Is("\"P1DT1H2M3.5S\"")),
        ("{b'x': 1}", Says("$: a bytes is no key of JSON")),
        ("[math.nan, math.inf, -math.inf, 1.0]", Is("[null,null,null,1.0]")),
        ("{'x': [math.nan, datetime.date(2024, 2, 29)]}", Is("{\"x\":[null,\"2024-02-29\"]}")),
        ("datetime.datetime(2024, 2, 29, 12, 30, tzinfo=utc)", Is("\"2024-02-29T12:30:00+00:00\"")),
        ("datetime.time(12, 30)", Is("\"12:30:00\"")),
        ("{datetime.date(2024, 2, 29): 1, None: 2, 3: 4}", Is("{\"2024-02-29\":1,\"null\":2,\"3\":4}")),
        ("[decimal.Decimal('1.10'), decimal.Decimal('NaN')]", Is("[\"1.10\",null]")),
        ("uuid.UUID(int=1)", Is("\"00000000-0000-0000-0000-000000000001\"")),
        ("ipaddress.ip_address('10.0.0.1')", Is("\"10.0.0.1\"")),
        ("[pathlib.Path('/a/b')]", Is("[\"/a/b\"]")),
        ("[Kind.CAT, Level.HIGH]", Is("[\"cat\",3]")),
        ("Point(1, datetime.date(2024, 2, 29))", Is("{\"x\":1,\"at\":\"2024-02-29\"}")),
        ("Row('Tom', 3)", Is("[\"Tom\",3]")),
        ("Model()", Is("{\"mode\":\"json\"}")),
        ("Attrs()", Is("{\"claws\":4}")),
        ("db.execute('select 1 as one, 2 as two').fetchone()", Is("{\"one\":1,\"two\":2}")),
        ("collections.ChainMap({'a': 1})", Is("{\"a\":1}")),
        ("10 ** 30", Is("1000000000000000000000000000000")),
        ("[math.nan, '\\ud800']", Is("[null,\"\\ud800\"]")),
    ];
    check("py", "python3", code, &cases);
}

/// Libraries that are not there are played by modules that look like them.
#[test]
fn arrays_and_tables_from_python_are_lists_and_rows() {
    let code = r#"
import datetime, sys, types
def module(name, **classes):
    for kind in classes.values(): kind.__module__ = name
    return types.SimpleNamespace(**classes)
class int64:
    def __init__(self, n): self.n = n
    def tolist(self): return self.n
class ndarray(int64): dtype = types.SimpleNamespace(kind="f")
class datetime64(int64):
    dtype = types.SimpleNamespace(kind="M")
    def astype(self, unit): return datetime64(datetime.datetime(2024, 2, 29)) if unit == "datetime64[us]" else None
class timedelta64(int64): dtype = types.SimpleNamespace(kind="m")
class longdouble(int64):
    def tolist(self): return self
    def __float__(self): return 0.5
np = module("numpy", int64=int64, ndarray=ndarray, datetime64=datetime64, timedelta64=timedelta64, longdouble=longdouble)
class NAType: pass
class NaTType(datetime.date):
    def isoformat(self): return "NaT"
class Series:
    def __init__(self, index, values): self.index, self.values = types.SimpleNamespace(inferred_type=index[0], is_unique=len(set(index[1])) == len(values)), dict(zip(index[1], values))
    index = None
    def tolist(self): return list(self.values.values())
    def to_dict(self): return self.values
class DataFrame:
    columns = ["a"]
    def to_dict(self, orient): return [{"a": np.int64(1)}, {"a": NAType()}] if orient == "records" else None
class Twins(DataFrame): columns = types.SimpleNamespace(is_unique=False)
pd = module("pandas.core", NAType=NAType, NaTType=NaTType, Series=Series, DataFrame=DataFrame)
def handler(code): return eval(code)
"#;
    let cases = [
        ("{'n': np.int64(5)}", Is("{\"n\":5}")),
        ("{np.int64(5): 1}", Is("{\"5\":1}")),
        ("np.ndarray([[1.5, float('nan')]])", Is("[[1.5,null]]")),
        ("np.ndarray([[1.5, {1}]])", Says("$[0][1]: a set is no JSON")),
        ("np.datetime64(1)", Is("\"2024-02-29T00:00:00\"")),
        ("[np.timedelta64(1)]", Says("$[0]: a timedelta64 is no JSON")),
        ("np.longdouble(1)", Is("0.5")),
        ("[NAType(), NaTType(2024, 1, 1)]", Is("[null,null]")),
        ("Series(('integer', [0, 1]), [np.int64(3), NAType()])", Is("[3,null]")),
        ("Series(('string', ['a', 'b']), [1, 2])", Is("{\"a\":1,\"b\":2}")),
        ("[Series(('string', ['a', 'a']), [1, 2])]", Says("$[0]: a Series with labels that repeat is no JSON")),
        ("Twins()", Says("$: a Twins with columns of one name is no JSON")),
        ("DataFrame()", Is("[{\"a\":1},{\"a\":null}]")),
    ];
    check("py", "python3", code, &cases);
}

#[test]
fn ruby_results_are_json_or_an_error() {
    let code = "require 'bigdecimal'\nrequire 'date'\nrequire 'ostruct'\nrequire 'set'\nrequire 'uri'\nclass Pet; end\n\
                Point = Struct.new(:x, :at)\nclass Named; def to_s() = 'named'; end\nclass Own; def to_json(*) = '{\"own\":1}'; end\n\
                class Hashed; def to_h() = { claws: 4 }; end\ndef handler(code) = eval(code)\n";
    let cases = [
        ("Pet.new", Says("$: a Pet is no JSON")),
        ("{ a: [1, 2, 3, Set[1]] }", Says("$.a[3]: a Set is no JSON")),
        ("{ 'b c' => [1].each }", Says("$[\"b c\"]: an Enumerator is no JSON")),
        ("[-> { 1 }]", Says("$[0]: a Proc is no JSON")),
        ("[ArgumentError.new('x')]", Says("$[0]: an ArgumentError is no JSON")),
        ("{ c: Pet }", Says("$.c: a Class is no JSON")),
        ("[$stderr]", Says("$[0]: an IO is no JSON")),
        ("Point.new(1, Pet.new)", Says("$.at: a Pet is no JSON")),
        ("[Float::NAN, Pet.new]", Says("$[1]: a Pet is no JSON")),
        ("{ a: \"\\xff\" }", Says("$.a: text that is no UTF-8")),
        ("[Float::NAN, Float::INFINITY, -Float::INFINITY, 1.0]", Is("[null,null,null,1.0]")),
        ("[Float::NAN, Own.new, :a]", Is("[null,{\"own\":1},\"a\"]")),
        ("Point.new(1, Date.new(2024, 2, 29))", Is("{\"x\":1,\"at\":\"2024-02-29\"}")),
        ("Time.utc(2024, 2, 29)", Is("\"2024-02-29 00:00:00 UTC\"")),
        ("[:sym, 1r, nil, 10 ** 30]", Is("[\"sym\",\"1/1\",null,1000000000000000000000000000000]")),
        ("BigDecimal('1.10')", Is("\"1.1\"")),
        ("[BigDecimal('NaN'), BigDecimal('Infinity')]", Is("[null,null]")),
        ("OpenStruct.new(a: 1)", Is("{\"a\":1}")),
        ("Hashed.new", Is("{\"claws\":4}")),
        ("[Named.new, URI('http://kitten.test/')]", Is("[\"named\",\"http://kitten.test/\"]")),
        ("Own.new", Is("{\"own\":1}")),
        ("JSON.generate([Named.new])", Is("\"[\\\"named\\\"]\"")),
    ];
    check("rb", "ruby", code, &cases);
}

#[test]
fn php_results_are_json_or_an_error() {
    let code = r#"<?php
class Pet { private $claws = 4; }
class Cat { public $claws = 4; protected $mood; }
class Money implements JsonSerializable { function jsonSerialize(): mixed { return ['eur' => 1.1]; } }
class Liar implements JsonSerializable { function jsonSerialize(): mixed { return [fn() => 1]; } }
enum Kind: string { case Cat = 'cat'; }
enum Bare { case Cat; }
function handler($code) { return eval("return $code;"); }
function _generate() { yield 1; }
"#;
    let cases = [
        ("new Pet", Says("$: a Pet is no JSON")),
        ("['a' => [1, 2, 3, new Pet]]", Says("$.a[3]: a Pet is no JSON")),
        ("['b c' => fn() => 1]", Says("$[\"b c\"]: a Closure is no JSON")),
        ("_generate()", Says("$: a Generator is no JSON")),
        ("[STDERR]", Says("$[0]: a resource is no JSON")),
        ("[new Exception('x')]", Says("$[0]: an Exception is no JSON")),
        ("[Bare::Cat]", Says("$[0]: a Bare is no JSON")),
        ("new Liar", Says("$[0]: a Closure is no JSON")),
        ("['a' => \"\\xff\"]", Says("$.a: text that is no UTF-8")),
        ("[NAN, INF, -INF, 1.0, 0.1 + 0.2]", Is("[null,null,null,1.0,0.30000000000000004]")),
        ("[NAN, new Money, Kind::Cat, new stdClass]", Is("[null,{\"eur\":1.1},\"cat\",{}]")),
        ("new Cat", Is("{\"claws\":4}")),
        ("[new stdClass, []]", Is("[{},[]]")),
        ("new ArrayObject([1])", Is("{\"0\":1}")),
        ("['text {}']", Is("[\"text {}\"]")),
        (
            "new DateTime('2024-02-29', new DateTimeZone('UTC'))",
            Is("{\"date\":\"2024-02-29 00:00:00.000000\",\"timezone_type\":3,\"timezone\":\"UTC\"}"),
        ),
    ];
    check("php", "php", code, &cases);
}

#[test]
fn perl_results_are_json_or_an_error() {
    let code = "use Math::BigInt;\nuse Math::BigFloat;\npackage Shown { use overload '\"\"' => sub { 'shown' } }\npackage Money { sub TO_JSON { { eur => '1.10' } } }\npackage Liar { sub TO_JSON { [sub { }] } }\n\
                package main;\nuse JSON::PP ();\nsub handler { my $result = eval $_[0]; die $@ if $@; return $result } 1;";
    let cases = [
        ("sub { 1 }", Says("$: a CODE reference is no JSON")),
        ("{ a => [1, 2, 3, \\*STDOUT] }", Says("$.a[3]: a GLOB reference is no JSON")),
        ("{ 'b c' => bless {}, 'Pet' }", Says("$[\"b c\"]: a Pet is no JSON")),
        ("[qr/x/]", Says("$[0]: a Regexp is no JSON")),
        ("[\\'text']", Says("$[0]: a SCALAR reference is no JSON")),
        ("bless [], 'Liar'", Says("$[0]: a CODE reference is no JSON")),
        ("[9**9**9, -9**9**9, 9**9**9 / 9**9**9, 1.5]", Is("[null,null,null,1.5]")),
        ("[9**9**9, bless([], 'Money'), JSON::PP::true()]", Is("[null,{\"eur\":\"1.10\"},true]")),
        ("bless {}, 'Money'", Is("{\"eur\":\"1.10\"}")),
        ("[\\1, \\0, JSON::PP::false()]", Is("[true,false,false]")),
        ("['x,inf', 'nan']", Is("[\"x,inf\",\"nan\"]")),
        ("[Math::BigInt->new('123456789012345678901234567890')]", Is("[123456789012345678901234567890]")),
        ("[Math::BigInt->new(5), Math::BigFloat->new('1.5'), Math::BigInt->bnan]", Is("[5,1.5,null]")),
        ("[bless [], 'Shown']", Says("$[0]: a Shown is no JSON")),
        ("[1/4, 3, '3', -0.1]", Is("[0.25,3,\"3\",-0.1]")),
    ];
    check("pl", "perl", code, &cases);
    // The classes for JSON that are faster than Perl's own are not on every machine.
    let folder = folder();
    let hidden = folder.path().join("hidden");
    for class in ["Cpanel/JSON/XS.pm", "JSON/XS.pm"] {
        fs::create_dir_all(hidden.join(class).parent().expect("it is in a folder")).unwrap();
        fs::write(hidden.join(class), "die 'hidden';").unwrap();
    }
    let perl = folder.path().join("perl");
    fs::write(&perl, format!("#!/bin/sh\nexec perl -I'{}' \"$@\"\n", hidden.display())).unwrap();
    fs::set_permissions(&perl, fs::Permissions::from_mode(0o755)).unwrap();
    check("pl", perl.to_str().unwrap(), code, &cases);
}

#[test]
fn a_job_comes_back_as_it_went() {
    let job =
        r#"{"a":{},"b":[],"c":{"0":1,"1":2},"d":[{},[]],"n":1234567890123456789,"x":0.30000000000000004,"z":1e+300}"#;
    for (language, code) in LANGUAGES.iter().zip([
        "export default (job) => job;",
        "def handler(job): return job",
        "def handler(job) = job",
        "<?php function handler($job) { return $job; }",
        "sub handler { $_[0] } 1;",
    ]) {
        if installed(language.runtime) {
            let folder = folder();
            let file = written(&folder, language, code);
            let spaced = job.replace("{}", "{ }");
            let run = forkpool(["-j", "1", "--handler", file.to_str().unwrap()]).stdin(format!("{job}\n{spaced}\n"));
            let ended = run.end().check_status(0);
            let expected = match language.ending {
                "mjs" => job.replace("1234567890123456789", "1234567890123456800"),
                "php" | "rb" => job.replace("1e+300", "1.0e+300"),
                _ => job.to_owned(),
            };
            for line in ended.text().lines() {
                let data = line.split_once("\"data\":").unwrap().1;
                assert_eq!(data, format!("{expected}}}"), "{}", language.ending);
            }
        }
    }
}

#[test]
fn a_table_with_numbered_columns_comes_back_with_them() {
    for (language, code) in LANGUAGES.iter().zip([
        "export default (row) => row;",
        "def handler(row): return row",
        "def handler(row) = row",
        "<?php function handler($row) { $row[1] = strtoupper($row[1]); return $row; }",
        "sub handler { $_[0] } 1;",
    ]) {
        if installed(language.runtime) {
            let folder = folder();
            let file = written(&folder, language, code);
            let run = forkpool([
                "--from",
                "csv",
                "--to",
                "csv",
                "--columns",
                "data.0,data.2",
                "--handler",
                file.to_str().unwrap(),
            ]);
            let ended = run.stdin("0,1,2\na,b,c\n").end().check_status(0);
            assert_eq!(ended.text(), "data.0,data.2\na,c\n", "{}", language.ending);
        }
    }
}
