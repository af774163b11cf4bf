//! Records that are POSTed to a pipeline: who sends learns what became of them.

use std::time::{Duration, Instant};

use crate::support::{Background, Folder, ask, eventually, free_port};

struct Scene {
    folder: Folder,
    running: Background,
    port: u16,
}

/// A pipeline from HTTP to a sink, running.
fn scene(source: &str, sink: &str) -> Scene {
    let port = free_port();
    let folder = Folder::with_pipeline(&format!(
        r#"
name: web
sources:
  clicks: {{ type: http, listen: "127.0.0.1:{port}", schema: {{ id: int64!, ms: int32 }}{source} }}
transforms:
  slow: {{ sql: "SELECT id, ms FROM clicks WHERE ms > 100" }}
sinks:
  out: {{ from: slow, {sink} }}
shutdown_timeout: 5s
"#
    ));
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it listens", || ask(port, "GET /", "").is_some());
    Scene { folder, running, port }
}

const FILE: &str = "type: file, path: out/, roll: { time: 300ms }";

#[test]
fn the_answer_comes_when_the_rows_are_in_the_file() {
    let Scene { folder, running, port } = scene("", FILE);
    let began = Instant::now();
    let (status, answer) =
        ask(port, "POST /", "{\"id\":1,\"ms\":500}\n{\"id\":2,\"ms\":5}\n{\"id\":3,\"ms\":900}").unwrap();
    // Killed at once: what was answered with 200 is there.
    running.signal("KILL");
    assert_eq!(status, 200, "{answer}");
    assert!(began.elapsed() >= Duration::from_millis(300), "before the file was complete");
    let ids: Vec<i64> = folder.rows("out").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 3]);
}

#[test]
fn a_wrong_body_is_refused_whole_with_the_place_of_the_mistake() {
    let Scene { folder, running, port } = scene("", FILE);
    let (status, answer) = ask(port, "POST /", "{\"id\":1,\"ms\":500}\n{\"id\":\"two\",\"ms\":500}").unwrap();
    assert_eq!(status, 400);
    assert!(answer.contains("id") && !answer.contains("two"), "{answer}");
    assert_eq!(ask(port, "POST /elsewhere", "{\"id\":1}").unwrap().0, 404);
    running.signal("TERM");
    running.wait(Duration::from_secs(20)).expect(0);
    assert!(folder.rows("out").is_empty(), "nothing of a refused body may arrive");
}

#[test]
fn a_sink_that_is_down_holds_back_the_senders_and_loses_nothing() {
    let sink = free_port();
    let Scene { folder: _folder, running, port } =
        scene(", max_inflight: 4", &format!("type: http, url: \"http://127.0.0.1:{sink}/\""));
    let sending: Vec<_> = (0..4)
        .map(|id| std::thread::spawn(move || ask(port, "POST /", &format!("{{\"id\":{id},\"ms\":500}}"))))
        .collect();
    // Until the four are under way a fifth would be taken, and wait.
    std::thread::sleep(Duration::from_secs(1));
    let mut refused = None;
    eventually("a request is told to come later", || {
        refused = ask(port, "POST /", "{\"id\":9,\"ms\":500}");
        refused.as_ref().is_some_and(|(status, _)| *status == 429)
    });
    assert!(refused.unwrap().1.to_lowercase().contains("retry-after: "));
    running.signal("TERM");
    let ran = running.wait(Duration::from_secs(30));
    assert_eq!(ran.code, Some(1), "what is not durable is no success: {}", ran.stderr);
    for request in sending {
        let answer = request.join().unwrap();
        assert!(answer.is_none_or(|(status, _)| status == 503 || status == 429), "nobody may be told it is durable");
    }
}

#[test]
fn requests_under_way_are_answered_when_the_pipeline_is_told_to_stop() {
    let Scene { folder, running, port } = scene("", "type: file, path: out/, roll: { time: 30s }");
    let waiting = std::thread::spawn(move || ask(port, "POST /", "{\"id\":1,\"ms\":500}"));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!waiting.is_finished(), "it must wait for the file");
    running.signal("INT");
    running.wait(Duration::from_secs(20)).expect(0);
    assert_eq!(waiting.join().unwrap().unwrap().0, 200);
    assert_eq!(folder.rows("out").len(), 1);
}

#[test]
fn what_was_accepted_is_written_before_the_end() {
    let Scene { folder, running, port } = scene(", respond: accepted", FILE);
    let senders: Vec<_> = (0..8i64)
        .map(|sender| {
            std::thread::spawn(move || {
                let ids = (0..).map(|n| sender * 1_000_000 + n);
                let accepted = |id: &i64| {
                    let answer = ask(port, "POST /", &format!("{{\"id\":{id},\"ms\":500}}"));
                    answer.is_some_and(|(status, _)| status == 202)
                };
                // Until the pipeline no longer takes them.
                ids.take_while(accepted).collect::<Vec<i64>>()
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    running.signal("TERM");
    let mut accepted: Vec<i64> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    running.wait(Duration::from_secs(20)).expect(0);
    let mut written: Vec<i64> = folder.rows("out").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    accepted.sort_unstable();
    written.sort_unstable();
    let lost: Vec<_> = accepted.iter().filter(|id| written.binary_search(id).is_err()).collect();
    assert!(accepted.len() > 50 && lost.is_empty(), "of {} accepted were lost: {lost:?}", accepted.len());
}
