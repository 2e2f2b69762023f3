use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::TaskId;

use super::*;

const SMALL: Bounds = Bounds { messages: 64, bytes: 64 * 1024, all: 256 * 1024, fair: 8 * 1024 };

/// A message of about this many bytes.
fn acks(bytes: usize) -> CoordinatorMessage {
    let attempt = AttemptRef { task: TaskId::from_bits(1), fence: Fence::default() };
    CoordinatorMessage::Ack(vec![attempt; bytes / size_of::<AttemptRef>()])
}

fn stuck(all: &Arc<AtomicUsize>) -> (Queue, Outgoing, watch::Sender<Option<Goodbye>>) {
    let (farewell, said) = watch::channel(None);
    let (queue, outgoing) = queue(SMALL, all, said);
    (queue, outgoing, farewell)
}

/// Offers until it is refused; gives how many were taken.
fn fill(queue: &Queue, bytes: usize) -> usize {
    (0..100_000).find(|_| queue.offer(acks(bytes)) == Err(Refused::Full)).expect("no queue is endless")
}

#[test]
fn an_agent_that_does_not_read_costs_a_bounded_number_of_messages_and_bytes() {
    let all = Arc::default();
    let (small, outgoing, _said) = stuck(&all);
    assert_eq!(fill(&small, 0), SMALL.messages);
    drop(outgoing);
    assert_eq!(all.load(Ordering::Relaxed), 0, "what is thrown away does not count any more");
    let (large, _outgoing, _said) = stuck(&all);
    let taken = fill(&large, SMALL.fair / 2);
    assert!((8..=SMALL.bytes / SMALL.fair * 2).contains(&taken), "{taken}");
    assert!(all.load(Ordering::Relaxed) <= SMALL.bytes);
}

#[test]
fn all_that_do_not_read_share_one_bound_and_each_keeps_a_fair_share() {
    let all = Arc::default();
    let sessions: Vec<_> = (0..200).map(|_| stuck(&all)).collect();
    for (queue, ..) in &sessions {
        fill(queue, SMALL.fair / 2);
    }
    let held = all.load(Ordering::Relaxed);
    assert!(held <= SMALL.all + sessions.len() * SMALL.fair, "{held}");
    let (late, _outgoing, _said) = stuck(&all);
    assert_eq!(late.offer(acks(SMALL.fair / 2)), Ok(()), "the last to come is not the one to suffer");
    assert_eq!(late.offer(acks(SMALL.fair)), Err(Refused::Full));
}

#[tokio::test]
async fn what_is_read_makes_room_again_and_a_goodbye_overtakes() {
    let all = Arc::default();
    let (queue, mut outgoing, said) = stuck(&all);
    fill(&queue, SMALL.fair);
    while outgoing.try_next().is_some() {}
    assert_eq!(all.load(Ordering::Relaxed), 0);
    assert_eq!(queue.offer(acks(SMALL.fair)), Ok(()));
    let goodbye = Goodbye {
        code: nexusmon_shared::message::GoodbyeCode::Other("slow".to_owned()),
        detail: "the agent does not read".to_owned(),
    };
    said.send_replace(Some(goodbye.clone()));
    assert_eq!(outgoing.next().await, Some(CoordinatorMessage::Goodbye(goodbye)));
    assert_eq!(outgoing.next().await, None);
    drop(outgoing);
    assert_eq!(queue.offer(acks(1)), Err(Refused::Closed));
    assert_eq!(all.load(Ordering::Relaxed), 0);
}
