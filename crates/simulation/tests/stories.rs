//! Stories: a recorded run is the same run, and its page is one small file.

use simulation::story::{PAGE_BYTES_MAX, StoryLimits, tell};
use simulation::{SimulationOptions, run};

#[test]
fn recording_changes_nothing() {
    for seed in [1, 4, 13, 20] {
        let (report, story) = tell(seed, SimulationOptions::default());
        assert_eq!(report, run(seed, SimulationOptions::default()), "seed {seed}");
        let [messages, events, _] = story.counts();
        assert!(messages > 100 && events > 20, "seed {seed}: {:?}", story.counts());
    }
}

/// The data of a page.
fn data(page: &str) -> serde_json::Value {
    let data = page.split("type=\"application/json\" id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_page_has_all_of_its_data_and_stays_small() {
    // One of the longest of the first hundred seeds.
    let (report, story) = tell(67, SimulationOptions::default());
    let page = story.html(StoryLimits::default());
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    let data = data(&page);
    assert!(report.is_clean() && data["broken"].is_null(), "{report}");
    assert_eq!(data["messages"].as_array().unwrap().len(), story.counts()[0]);
    assert_eq!(data["left_out"].as_array().unwrap().len(), 0, "{}", data["left_out"]);
    let faults = data["faults"].as_array().unwrap();
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault["begin"].as_u64() < fault["end"].as_u64()));
    let states = data["states"].as_array().unwrap();
    assert!(states.iter().any(|state| state[2]["role"] == "leader" && state[2]["takes_orders"] == true));
    assert!(states.iter().any(|state| state[2]["lease"] == true));
}

#[test]
fn what_does_not_fit_is_left_out_and_told() {
    let (_, story) = tell(67, SimulationOptions::default());
    let limits = StoryLimits { bytes_max: 300_000 };
    let page = story.html(limits);
    assert!(page.len() < limits.bytes_max + 100_000, "{} bytes", page.len());
    let data = data(&page);
    let left_out = data["left_out"].to_string();
    assert!(left_out.contains("heartbeats") && left_out.contains("before this story begins"), "{left_out}");
    let from = data["from"].as_u64().unwrap();
    assert!(from > 0 && from < story.ends_at());
    assert!(data["events"].as_array().unwrap().iter().all(|event| event[0].as_u64().unwrap() >= from));
    // Each process still has a state at the beginning.
    let states = data["states"].as_array().unwrap();
    for (lane, process) in data["lanes"].as_array().unwrap().iter().enumerate() {
        let first = states.iter().find(|state| state[1] == lane).unwrap();
        assert!(first[0].as_u64().unwrap() <= from || first[2]["life"] == "up", "{process}: {first}");
    }
}
