//! A handler's file is a module, never the program: no guard of its main part fires.

use super::*;

#[track_caller]
fn check(name: &str, code: &str, options: &[&str]) {
    let folder = folder();
    let file = folder.path().join(name);
    fs::write(&file, code).unwrap();
    let ended = run_with(&file, options, &[json!(7)]);
    assert_eq!(ended.status, 0, "{code}\n{}", ended.stderr);
    assert_eq!(data(&ended), [7], "{code}\n{}", ended.stderr);
}

#[test]
fn no_guard_of_a_main_part_fires() {
    let ruby = [
        "__FILE__ == $0",
        "$PROGRAM_NAME == __FILE__",
        "File.expand_path($0) == File.expand_path(__FILE__)",
        "File.basename($0) == File.basename(__FILE__)",
    ];
    let perl = ["$0 eq __FILE__", "!caller", "(split m{/}, $0)[-1] eq (split m{/}, __FILE__)[-1]"];
    let php = [
        "$argv[0] === __FILE__",
        "get_included_files()[0] === __FILE__",
        "realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__",
        "$_SERVER['argv'][0] === __FILE__",
        "basename(__FILE__) === basename($_SERVER['PHP_SELF'])",
        "!debug_backtrace()",
        "count($argv) > 1",
    ];
    let python = ["__name__ == '__main__'", "__import__('sys').argv[0] == __file__", "len(__import__('sys').argv) > 1"];
    let modules = [
        "process.argv[1] === fileURLToPath(import.meta.url)",
        "import.meta.url === pathToFileURL(process.argv[1]).href",
        "import.meta.url.endsWith(process.argv[1])",
        "realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)",
        "createRequire(import.meta.url).resolve(process.argv[1]) === fileURLToPath(import.meta.url)",
        "import.meta.main",
        "process.argv.length > 2",
    ];
    let commonjs = ["require.main === module", "!module.parent", "process.mainModule === module"];
    for (language, guards) in LANGUAGES[1..].iter().zip([&python[..], &ruby, &php, &perl]) {
        for guard in guards.iter().filter(|_| installed(language.runtime)) {
            let code = match language.ending {
                "py" => format!("def handler(n): return n\nif {guard}:\n    raise SystemExit('usage')\n"),
                "rb" => format!("def handler(n) = n\nabort 'usage' if {guard}\n"),
                "php" => format!("<?php function handler($n) {{ return $n; }}\nif ({guard}) exit(2);\n"),
                _ => format!("sub handler {{ $_[0] }}\nif ({guard}) {{ exit 2 }}\n1;\n"),
            };
            check(&format!("kitten.{}", language.ending), &code, &[]);
        }
    }
    if !installed("node") {
        return;
    }
    let imports = "import { fileURLToPath, pathToFileURL } from 'node:url';\nimport { createRequire } from 'node:module';\n\
                   import { realpathSync } from 'node:fs';\n";
    let runtimes = ["node", "bun", "deno"].into_iter().filter(|runtime| *runtime == "node" || has(runtime));
    for runtime in runtimes {
        for guard in modules {
            let code = format!("{imports}export default (n) => n;\nif ({guard}) process.exit(2);\n");
            check("kitten.mjs", &code, &["--runtime", runtime]);
        }
    }
    for guard in commonjs {
        for name in ["kitten.cjs", "kitten.js"] {
            check(name, &format!("module.exports = (n) => n;\nif ({guard}) process.exit(2);\n"), &[]);
        }
    }
    if has("bun") {
        let code = "if (Bun.main === import.meta.path) process.exit(2);\nexport default (n) => n;";
        check("kitten.mjs", code, &["--runtime", "bun"]);
    }
}

#[test]
fn node_shows_a_handler_what_it_would_show_a_file() {
    if !installed("node") {
        return;
    }
    let folder = folder();
    let file = folder.path().join("globals.mjs");
    let names = "Object.getOwnPropertyNames(globalThis).sort()";
    fs::write(
        &file,
        format!("export default () => {names};\nif (process.argv[2]) console.log(JSON.stringify({names}));"),
    )
    .unwrap();
    let plain = std::process::Command::new("node").arg(&file).arg("show").output().unwrap();
    let plain: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!(data(&run_with(&file, &[], &[json!(0)]).check_status(0)), [plain]);

    // What the handler starts is not given the worker's own options.
    fs::write(folder.path().join("child.cjs"), "process.send(process.execArgv);").unwrap();
    let fork = "import { fork } from 'node:child_process';\nexport default () => new Promise((resolve) => \
                fork(new URL('child.cjs', import.meta.url)).on('message', resolve));";
    fs::write(&file, fork).unwrap();
    assert_eq!(
        data(&run_with(&file, &["--runtime", "node --no-warnings"], &[json!(0)]).check_status(0)),
        [json!(["--no-warnings"])]
    );
}

#[test]
fn perls_findbin_finds_the_handlers_folder() {
    if installed("perl") {
        let folder = folder();
        let file = written(&folder, &LANGUAGES[4], "use FindBin; sub handler { $FindBin::Bin } 1;");
        let bin = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(data(&run_with(file, &[], &[json!(0)]).check_status(0)), [json!(bin)]);
    }
}
