//! The workers that forkpool supplies around a user's function: which runtime, which shim, which command line.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use crate::text::shell;
use crate::words::error::{Error, Result, reason};
use crate::words::worker::{Channel, HandlerChoice, WorkerCommand};

/// A language's supplied worker.
struct Shim {
    endings: &'static [&'static str],
    runtime: &'static str,
    code: &'static str,
    /// What stands between the runtime and the code.
    flags: &'static [&'static str],
    /// What stands between the code and its argument.
    separator: Option<&'static str>,
    /// How this language forks workers; `None` if it cannot.
    forks: Option<Forks>,
}

/// The code of a template, from which workers are forked (`--preload`).
struct Forks {
    /// What is put behind the worker's code.
    code: &'static str,
    /// The last line of the worker's code, which starts the worker and is left out.
    instead_of: &'static str,
}

const SHIMS: [Shim; 5] = [
    Shim {
        endings: &["js", "mjs", "cjs", "ts", "mts", "cts"],
        runtime: "node",
        code: include_str!("worker.mjs"),
        flags: &["--input-type=module", "-e"],
        separator: None,
        forks: None,
    },
    Shim {
        endings: &["py"],
        runtime: "python3",
        code: include_str!("worker.py"),
        flags: &["-c"],
        separator: None,
        forks: Some(Forks { code: include_str!("template.py"), instead_of: "main()\n" }),
    },
    Shim {
        endings: &["rb"],
        runtime: "ruby",
        code: include_str!("worker.rb"),
        flags: &["-e"],
        separator: None,
        forks: Some(Forks {
            code: include_str!("template.rb"),
            instead_of: "ForkpoolWorker.run(ForkpoolWorker::SPEC, self)\n",
        }),
    },
    Shim {
        endings: &["php"],
        runtime: "php",
        code: include_str!("worker.php"),
        flags: &["-d", "display_errors=stderr", "-d", "log_errors=0", "-d", "serialize_precision=-1", "-r"],
        separator: Some("--"),
        forks: None,
    },
    Shim {
        endings: &["pl"],
        runtime: "perl",
        code: include_str!("worker.pl"),
        flags: &["-e"],
        separator: Some("--"),
        forks: None,
    },
];

/// How a supplied worker calls the functions of its handler.
pub struct Manner {
    /// Jobs that run at the same time.
    pub concurrency: usize,
    /// The function takes and returns lists.
    pub takes_batches: bool,
    pub init: Init,
    /// The command starts a template, from which workers are forked (`--preload`).
    pub forks: bool,
}

/// What a worker does with the handler's init function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    Called,
    /// It must be there, and is not called.
    OnlyFound,
}

/// The command of the worker for a handler.
pub fn command(handler: &HandlerChoice, manner: &Manner) -> Result<WorkerCommand> {
    let Manner { concurrency, takes_batches, init, forks } = *manner;
    let file = handler.file.display();
    let path = std::fs::canonicalize(&handler.file)
        .map_err(|error| Error::pool(format!("cannot load the handler {file}: {}", reason(&error))))?;
    let ending = handler.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let Some(shim) = SHIMS.iter().find(|shim| shim.endings.contains(&ending)) else {
        let known: Vec<&str> = SHIMS.iter().flat_map(|shim| shim.endings).copied().collect();
        return Err(Error::refused(format!("{file}: no worker is supplied for .{ending} files"))
            .hint(format!("the handler's name must end in one of .{}", known.join(" ."))));
    };
    refuse_functions(handler)?;
    let code = shim.code_of(forks).ok_or_else(|| {
        Error::refused(format!(
            "--preload is for Python and Ruby, whose processes can fork; {file} is for {}",
            shim.runtime
        ))
    })?;
    let spec = serde_json::json!({
        "file": path.to_str().ok_or_else(|| Error::refused(format!("{file}: its path is not UTF-8")))?,
        "function": handler.function,
        "route": handler.route,
        "init": handler.init,
        "calls_init": init == Init::Called,
        "concurrency": concurrency,
        "batch": takes_batches,
        // The parent that workers must have.
        "pool": std::process::id(),
    });
    // The runtime and the user's own words for it: `"my python" -X dev`.
    let words = shell::split(handler.runtime.as_deref().unwrap_or(shim.runtime));
    let mut words = words.map_err(|why| Error::refused(format!("--runtime: {why}")))?;
    let mut args: Vec<OsString> = words.drain(1..).map(OsString::from).collect();
    let program = words.remove(0);
    shim.add_code(&code, &program, &mut args);
    args.push(spec.to_string().into());
    Ok(WorkerCommand { wrap: Vec::new(), program: program.into(), args, channel: Channel::Private, env: Vec::new() })
}

/// Refuses functions that contradict each other.
fn refuse_functions(handler: &HandlerChoice) -> Result<()> {
    let Some(function) = &handler.function else { return Ok(()) };
    if handler.route.is_some() {
        return Err(Error::refused(format!("--route chooses the function, and so does :{function}"))
            .hint("--handler FILE without a function"));
    }
    if handler.init.as_ref() == Some(function) {
        return Err(Error::refused(format!("{function} cannot be both the handler's function and that of --init")));
    }
    Ok(())
}

impl Shim {
    /// The code of a worker, or of the template that workers are forked from; `None` if this language cannot fork.
    fn code_of(&self, template: bool) -> Option<Cow<'static, str>> {
        if !template {
            return Some(self.code.into());
        }
        let forks = self.forks.as_ref()?;
        let worker = self.code.strip_suffix(forks.instead_of).expect("this is the last line of the worker's code");
        Some((worker.to_owned() + forks.code).into())
    }

    /// Adds the code as this runtime takes it; `args` are the user's own words for the runtime.
    fn add_code(&self, code: &str, program: &str, args: &mut Vec<OsString>) {
        match Path::new(program).file_name().and_then(|name| name.to_str()) {
            Some("bun") => args.extend(["-e".into(), code.into()]),
            // `deno eval` has all permissions; with words such as `run --allow-net` the user says which.
            Some("deno") if args.is_empty() => args.extend(["eval".into(), "--ext=js".into(), code.into()]),
            Some("deno") => args.push(data_url(code).into()),
            _ => {
                args.extend(self.flags.iter().map(OsString::from));
                // `php -r` takes code without the opening tag.
                args.push(code.strip_prefix("<?php").unwrap_or(code).into());
                args.extend(self.separator.map(OsString::from));
            }
        }
    }
}

/// A program as a URL, for a runtime that takes a module's address but no code.
fn data_url(code: &str) -> String {
    let mut url = "data:text/javascript,".to_owned();
    for byte in code.bytes() {
        if byte.is_ascii_alphanumeric() {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// `FILE[:FUNCTION]`; a colon in the file's own name is no separator.
pub fn split(handler: &str) -> (&str, Option<&str>) {
    if Path::new(handler).exists() {
        return (handler, None);
    }
    match handler.rsplit_once(':') {
        Some((file, function)) if !function.is_empty() => (file, Some(function)),
        _ => (handler, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_takes_the_code_in_its_own_way() {
        let args = |runtime: &str, ending: &str, words: &[&str]| {
            let shim = SHIMS.iter().find(|shim| shim.endings.contains(&ending)).unwrap();
            let mut args: Vec<OsString> = words.iter().map(OsString::from).collect();
            shim.add_code(shim.code, runtime, &mut args);
            let shorten = |arg: OsString| {
                let arg = arg.into_string().unwrap();
                if arg == shim.code { "CODE".to_owned() } else { arg.chars().take(24).collect() }
            };
            args.into_iter().map(shorten).collect::<Vec<String>>().join(" ")
        };
        assert_eq!(args("node", "js", &[]), "--input-type=module -e CODE");
        assert_eq!(args("/opt/bin/bun", "ts", &["--smol"]), "--smol -e CODE");
        assert_eq!(args("deno", "ts", &[]), "eval --ext=js CODE");
        assert_eq!(args("deno", "ts", &["run", "-A"]), "run -A data:text/javascript,%2F");
        assert_eq!(args("venv/bin/python", "py", &["-X", "dev"]), "-X dev -c CODE");
        assert!(!args("php", "php", &[]).contains("<?php"));
    }

    #[test]
    fn every_shim_is_ascii() {
        // Some runtimes read a program in the locale's encoding, and under cron there is no locale.
        for shim in &SHIMS {
            assert!(shim.code.is_ascii(), "worker.{}", shim.endings[0]);
            assert!(shim.code_of(true).is_none_or(|code| code.is_ascii()), "template.{}", shim.endings[0]);
        }
    }

    #[test]
    fn a_function_is_named_after_the_last_colon() {
        assert_eq!(split("pet.js"), ("pet.js", None));
        assert_eq!(split("pet.js:purr"), ("pet.js", Some("purr")));
        assert_eq!(split("a:b/pet.js:purr"), ("a:b/pet.js", Some("purr")));
        assert_eq!(split("pet.js:"), ("pet.js:", None));
    }
}
