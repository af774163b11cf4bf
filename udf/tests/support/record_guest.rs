//! Components over records written as text: a frame that speaks the contract by hand, into which a test puts the body of
//! `process`.

/// The answer of `process` that gives each record back. Parameters: `$ptr`, `$len`; locals: `$i`, `$at`.
pub(crate) const SAME_RECORDS: &str = "
    ;; Each answer has 24 bytes: 0 tag, then 4 the strings and 8 how many, which are pairs of pointer and length.
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (local.get $len) (i32.const 24))))
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $at))
    (i32.store (i32.const 72) (local.get $len))
    (if (local.get $len) (then (loop $next
      (i32.store8 (local.get $at) (i32.const 0))
      (i32.store offset=4 (local.get $at) (i32.add (local.get $ptr) (i32.mul (local.get $i) (i32.const 8))))
      (i32.store offset=8 (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 24)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $len))))))";

/// A component whose `process` has this body, which returns the address of its answer: 0 the tag (1 means failure), then
/// 4 and 8 the answers, or for a failure 4 and 8 code, 12 and 16 message, 20 retryable. `items` are more items of the
/// core module, whose memory has the bytes from 1024 to 65536 free.
pub(crate) fn records(process: &str, items: &str) -> Vec<u8> {
    let text = FRAME.replace("{{process}}", process).replace("{{items}}", items);
    wat::parse_str(text).unwrap()
}

const FRAME: &str = r#"
(component
  (import "riverhook:function/host@0.1.0" (instance $host
    (export "counter" (func (param "name" string) (param "value" u64)))
    (export "gauge" (func (param "name" string) (param "value" f64)))))

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
  (core func $counter (canon lower (func $host "counter") (memory $m) string-encoding=utf8))
  (core func $gauge (canon lower (func $host "gauge") (memory $m) string-encoding=utf8))

  (core module $Main
    (import "memory" "memory" (memory 32))
    (import "memory" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "counter" (func $counter (param i32 i32 i64)))
    (import "host" "gauge" (func $gauge (param i32 i32 f64)))
    {{items}}
    (func (export "process") (param $ptr i32) (param $len i32) (result i32)
      (local $i i32) (local $at i32)
      {{process}}))
  (core instance $main (instantiate $Main
    (with "memory" (instance $memory))
    (with "host" (instance (export "counter" (func $counter)) (export "gauge" (func $gauge))))))

  (type $failure-record (record (field "code" string) (field "message" string) (field "retryable" bool)))
  (export $failure "failure" (type $failure-record))
  (type $answer-variant (variant (case "records" (list string)) (case "failed" $failure)))
  (export $answer "answer" (type $answer-variant))
  (func $process (param "records" (list string)) (result (result (list $answer) (error $failure)))
    (canon lift (core func $main "process") (memory $m) (realloc $realloc)))
  (instance $records (export "process" (func $process)))
  (export "riverhook:function/records@0.1.0" (instance $records)))
"#;
