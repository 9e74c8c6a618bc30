//! Children and threads of a handler: none is a second worker, and none holds up the end.

use super::*;

#[test]
fn a_forked_child_neither_answers_nor_goes_on() {
    let forks = [
        (
            "py",
            "import os, sys\ndef handler(n):\n    p = os.fork()\n    if p == 0: LEAVE\n    \
                return os.waitstatus_to_exitcode(os.waitpid(p, 0)[1])\n",
            ["sys.exit(0)", "sys.exit(3)", "raise ValueError('in the child')", "return 'from the child'"],
        ),
        (
            "rb",
            "def handler(n)\n  p = fork\n  if p.nil?\n    LEAVE\n  end\n  Process.wait(p)\n  $?.exitstatus\nend\n",
            ["exit 0", "exit 3", "raise 'in the child'", "return 'from the child'"],
        ),
        (
            "pl",
            "sub handler { my $p = fork; if (!$p) { LEAVE } waitpid $p, 0; return $? >> 8 } 1;",
            ["exit 0", "exit 3", "die 'in the child'", "return 'from the child'"],
        ),
        (
            "php",
            "<?php function handler($n) { $p = pcntl_fork(); if ($p === 0) { LEAVE; } pcntl_waitpid($p, $status); \
                 return pcntl_wexitstatus($status); }",
            ["exit(0)", "exit(3)", "throw new Exception('in the child')", "return 'from the child'"],
        ),
    ];
    for (ending, code, leaves) in forks {
        let language = LANGUAGES.iter().find(|language| language.ending == ending).unwrap();
        if !installed(language.runtime) {
            continue;
        }
        for (number, leave) in leaves.into_iter().enumerate() {
            let folder = folder();
            let file = written(&folder, language, &code.replace("LEAVE", leave));
            let jobs: Vec<Value> = (0..5).map(|number| json!(number)).collect();
            let ended = run_with(&file, &[], &jobs).check_status(0);
            let failure = if ending == "py" || ending == "rb" { 1 } else { 255 };
            let status = [0, 3, failure, 0][number];
            assert_eq!(data(&ended), vec![json!(status); 5], "{ending}: {leave}: {}", ended.stderr);
            assert_eq!(ended.stderr.matches("in the child").count() > 0, number == 2, "{}", ended.stderr);
        }
    }
}

#[test]
fn a_child_that_is_forked_while_loading_is_no_worker_either() {
    let forks = [
        ("py", "import os, sys\np = os.fork()\nif p == 0: sys.exit(3)\nos.waitpid(p, 0)\ndef handler(n): return n\n"),
        ("rb", "p = fork\nexit 3 if p.nil?\nProcess.wait(p)\ndef handler(n) = n\n"),
        ("pl", "my $p = fork; if (!$p) { exit 3 } waitpid $p, 0; sub handler { $_[0] } 1;"),
        (
            "php",
            "<?php $p = pcntl_fork(); if ($p === 0) { exit(3); } pcntl_waitpid($p, $s); function handler($n) { return $n; }",
        ),
    ];
    for (ending, code) in forks {
        let language = LANGUAGES.iter().find(|language| language.ending == ending).unwrap();
        if installed(language.runtime) {
            let folder = folder();
            let ended = run_with(written(&folder, language, code), &[], &[json!(7)]).check_status(0);
            assert_eq!(data(&ended), [7], "{ending}");
        }
    }
}

#[test]
fn what_python_leaves_open_does_not_hold_up_the_end() {
    if !installed("python3") {
        return;
    }
    let pool = "from concurrent.futures import ProcessPoolExecutor as P\nex = P(1)\ndef sq(x): return x * x\n\
                def handler(n): return ex.submit(sq, n).result()\n";
    let busy_thread = "import time\nfrom concurrent.futures import ThreadPoolExecutor as P\nex = P(1)\n\
                       def handler(n):\n    ex.submit(time.sleep, 3600)\n    return n * n\n";
    let child = "import time, multiprocessing as m\ndef handler(n):\n    m.Process(target=time.sleep, args=(3600,)).start()\n    \
                 return n * n\n";
    let thread = "import time, threading\ndef handler(n):\n    threading.Thread(target=time.sleep, args=(3600,)).start()\n    \
                  return n * n\n";
    let pool_of_processes = "import multiprocessing as m\np = m.Pool(1)\ndef sq(x): return x * x\n\
                             def handler(n): return p.apply(abs, (n * n,))\n";
    for code in [pool, busy_thread, child, thread, pool_of_processes] {
        let folder = folder();
        let log = folder.path().join("ends");
        let at_exit = format!("import atexit\natexit.register(lambda: open({log:?}, 'a').write('end'))\n");
        let file = written(&folder, &LANGUAGES[1], &format!("{at_exit}{code}"));
        // A worker that did not end by itself would be given this long.
        let ended = run_with(file, &["--grace", "1h"], &[json!(2), json!(3)]).check_status(0);
        assert_eq!(data(&ended), [4, 9], "{code}");
        assert_eq!(fs::read_to_string(&log).unwrap(), "end", "{code}: {}", ended.stderr);
        assert!(!ended.stderr.contains("Traceback"), "{code}: {}", ended.stderr);
    }
}
