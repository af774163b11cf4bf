//! Components written as text: a frame that speaks the contract by hand, into which a test puts the bodies of `open`
//! and `process`.

/// The answer of `open` that gives the input's schema back. Parameters: `$ptr`, `$len`.
pub(crate) const SAME_SCHEMA: &str = "
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store (i32.const 4) (local.get $ptr))
    (i32.store (i32.const 8) (local.get $len))
    (i32.const 0)";

/// The answer of `process` that gives the input's buffers back. Parameters: `$rows`, `$ptr`, `$len`.
pub(crate) const SAME_BATCH: &str = "
    (i32.store (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $rows))
    (i32.store (i32.const 72) (local.get $ptr))
    (i32.store (i32.const 76) (local.get $len))
    (i32.store (i32.const 80) (i32.const 0))
    (i32.store (i32.const 92) (i32.const 0))
    (i32.store (i32.const 96) (i32.const 0))
    (i32.const 64)";

/// A component whose `process` has the body `process`, with the same schema out as in.
pub(crate) fn with_process(process: &str) -> Vec<u8> {
    component("", SAME_SCHEMA, process, "")
}

/// A component with these bodies. `imports` go before everything else; `items` are more items of the core module, which
/// has memory 0 with the bytes from 1024 to 65536 free, and may call `$log (level, pointer, length)`.
///
/// `open` and `process` return the address of their answer. That of `process` has at offset 0 the tag (1 means
/// failure), then for a reply: 4 rows, 8 and 12 buffers, 16 origin's tag, 20 and 24 origin's rows, 28 and 32 failed
/// rows; for a failure: 4 and 8 code, 12 and 16 message, 20 retryable.
pub(crate) fn component(imports: &str, open: &str, process: &str, items: &str) -> Vec<u8> {
    importing(imports, "", "", open, process, items)
}

/// The same with imports of its own: `lowers` makes core functions of them, `host` hands those to the core module as
/// exports of its import `host`.
pub(crate) fn importing(imports: &str, lowers: &str, host: &str, open: &str, process: &str, items: &str) -> Vec<u8> {
    let text = FRAME
        .replace("{{imports}}", imports)
        .replace("{{lowers}}", lowers)
        .replace("{{host}}", host)
        .replace("{{open}}", open)
        .replace("{{process}}", process)
        .replace("{{items}}", items);
    wat::parse_str(text).unwrap()
}

const FRAME: &str = r#"
(component
  {{imports}}
  (import "riverhook:function/host@0.1.0" (instance $host
    (type $levels (enum "error" "warn" "info" "debug" "trace"))
    (export "level" (type $level (eq $levels)))
    (export "log" (func (param "level" $level) (param "message" string)))))

  (core module $Memory
    (memory (export "memory") 32)
    (global $next (mut i32) (i32.const 65536))
    ;; Hands out memory and never takes it back: the tests call a few times only.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $memory (instantiate $Memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $log (canon lower (func $host "log") (memory $m) string-encoding=utf8))
  {{lowers}}

  (core module $Main
    (import "memory" "memory" (memory 32))
    (import "host" "log" (func $log (param i32 i32 i32)))
    {{items}}
    (func (export "open") (param $ptr i32) (param $len i32) (result i32) {{open}})
    (func (export "process") (param $rows i32) (param $ptr i32) (param $len i32) (result i32)
      (local $i i32)
      {{process}}))
  (core instance $main (instantiate $Main
    (with "memory" (instance $memory))
    (with "host" (instance (export "log" (func $log)) {{host}}))))

  (type $field-record (record (field "name" string) (field "format" string) (field "nullable" bool)
    (field "children" u32) (field "metadata" (list (tuple string string)))))
  (export $field "field" (type $field-record))
  (type $failure-record (record (field "code" string) (field "message" string) (field "retryable" bool)))
  (export $failure "failure" (type $failure-record))
  (type $failed-row-record (record (field "row" u32) (field "code" string) (field "message" string)
    (field "retryable" bool)))
  (export $failed-row "failed-row" (type $failed-row-record))
  (type $origin-variant (variant (case "same") (case "rows" (list u32)) (case "whole-batch")))
  (export $origin "origin" (type $origin-variant))
  (type $reply-record (record (field "rows" u32) (field "buffers" (list (list u8))) (field "origin" $origin)
    (field "failed" (list $failed-row))))
  (export $reply "reply" (type $reply-record))

  (func $open (param "input" (list $field)) (result (result (list $field) (error string)))
    (canon lift (core func $main "open") (memory $m) (realloc $realloc)))
  (func $process (param "rows" u32) (param "buffers" (list (list u8))) (result (result $reply (error $failure)))
    (canon lift (core func $main "process") (memory $m) (realloc $realloc)))
  (instance $batch (export "open" (func $open)) (export "process" (func $process)))
  (export "riverhook:function/batch@0.1.0" (instance $batch)))
"#;
