//! Workers start in any environment: none at all, as under cron; a locale without UTF-8; variables that change a runtime.

use super::*;

#[test]
fn handlers_work_in_every_environment() {
    const NONE: &[(&str, &str)] = &[];
    let environments: &[&[(&str, &str)]] = &[
        NONE,
        &[("LC_ALL", "C")],
        &[("LC_ALL", "POSIX"), ("LANG", "de_DE.ISO-8859-1")],
        &[("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")],
        &[("PYTHONIOENCODING", "latin-1"), ("PYTHONUTF8", "0")],
        &[("PYTHONIOENCODING", "ascii:strict"), ("PYTHONWARNINGS", "error"), ("PYTHONOPTIMIZE", "2")],
        &[("PYTHONSAFEPATH", "1"), ("PYTHONINSPECT", "1"), ("PYTHONDEVMODE", "1"), ("PYTHONUNBUFFERED", "1")],
        &[("PERL_UNICODE", "SDA"), ("PERL5OPT", "-w")],
        &[("PERL_UNICODE", "SDA"), ("PERL5OPT", "-Mutf8 -Mstrict -Mwarnings=FATAL,all"), ("PERLIO", ":utf8")],
        &[("PERL5OPT", "-Mopen=:std,:encoding(UTF-8)"), ("PERL_JSON_BACKEND", "JSON::PP")],
        &[("RUBYOPT", "-w -Ku")],
        &[("RUBYOPT", "-EUS-ASCII:UTF-8 --enable=frozen-string-literal")],
        &[("RUBYOPT", "-EASCII-8BIT -W:no-experimental"), ("LC_ALL", "C")],
        &[("RUBYOPT", "--disable=gems,did_you_mean")],
        &[("NODE_OPTIONS", "--input-type=commonjs --throw-deprecation --pending-deprecation")],
        &[(
            "NODE_OPTIONS",
            "--disallow-code-generation-from-strings --frozen-intrinsics --unhandled-rejections=strict",
        )],
        &[("NODE_OPTIONS", "--disable-proto=delete --trace-warnings"), ("NODE_PENDING_DEPRECATION", "1")],
        &[("NODE_CHANNEL_FD", "3"), ("NODE_UNIQUE_ID", "1")],
        &[("PHPRC", "PHPRC")],
    ];
    let umlauts = "M\u{fc}ller \u{1f43e}";
    let code = [
        "export default (job) => { console.log(job); return { job, half: 0.1 + 0.2 }; };",
        "def handler(job):\n    print(job)\n    return {'job': job, 'half': 0.1 + 0.2}",
        "def handler(job)\n  puts job\n  { job: job, half: 0.1 + 0.2 }\nend",
        "<?php function handler($job) { echo $job, \"\\n\"; return ['job' => $job, 'half' => 0.1 + 0.2]; }",
        "no warnings; sub handler { print $_[0], qq(\\n); return { job => $_[0], half => 0.5 } } 1;",
    ];
    for (language, code) in LANGUAGES.iter().zip(code).filter(|(language, _)| installed(language.runtime)) {
        let folder = folder();
        let path = folder.path().join("M\u{fc}ller");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("PHPRC.ini"), "").unwrap();
        let ini = "serialize_precision=5\nprecision=3\noutput_buffering=4096\nerror_reporting=0\ndefault_charset=ISO-8859-1\n\
                   html_errors=1\nregister_argc_argv=0\nauto_detect_line_endings=1\ndisplay_errors=1\nzend.assertions=1\n";
        fs::write(path.join("php.ini"), ini).unwrap();
        let file = path.join(format!("Jos\u{e9}.{}", language.ending));
        fs::write(&file, code).unwrap();
        let half = if language.ending == "pl" { json!(0.5) } else { json!(0.1 + 0.2) };
        for environment in environments {
            let mut run = forkpool(["-j", "1", "--handler", file.to_str().unwrap()]).stdin(format!("\"{umlauts}\"\n"));
            let path_variable = std::env::var_os("PATH").unwrap();
            run.command().env_clear().env("PATH", path_variable);
            for (name, value) in *environment {
                run = run.env(name, if *name == "PHPRC" { path.to_str().unwrap() } else { value });
            }
            let ended = run.end();
            assert_eq!(ended.status, 0, "{} {environment:?}: {}", language.ending, ended.stderr);
            assert_eq!(data(&ended), [json!({"job": umlauts, "half": half})], "{} {environment:?}", language.ending);
        }
    }
}

#[test]
fn the_current_folder_has_no_modules_of_pythons() {
    if installed("python3") {
        let folder = folder();
        fs::write(folder.path().join("json.py"), "raise SystemExit('not the real one')").unwrap();
        let handler = project("tests/end_to_end/handlers/acts.py");
        let run = forkpool(["-j", "1", "--handler", handler.to_str().unwrap()]).current_dir(folder.path());
        run.stdin("{\"do\":\"echo\"}\n").end().check_status(0);
    }
}
