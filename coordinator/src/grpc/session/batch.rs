//! Cuts what is to be sent into messages the protocol allows: at most 500 items and about 1 MiB.

use nexusmon_shared::message::{Cancel, CoordinatorMessage, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Orders};

/// The same message in parts, in order; nearly always one.
pub(super) fn cut(message: CoordinatorMessage) -> Vec<CoordinatorMessage> {
    match message {
        CoordinatorMessage::Orders(orders) => cut_orders(orders),
        CoordinatorMessage::Ack(attempts) if attempts.len() > MAX_BATCH_ITEMS => {
            attempts.chunks(MAX_BATCH_ITEMS).map(|part| CoordinatorMessage::Ack(part.to_vec())).collect()
        }
        // An empty recall means everything, so only a long one is cut.
        CoordinatorMessage::Recall(attempts) if attempts.len() > MAX_BATCH_ITEMS => {
            attempts.chunks(MAX_BATCH_ITEMS).map(|part| CoordinatorMessage::Recall(part.to_vec())).collect()
        }
        CoordinatorMessage::Cancel(Cancel { attempts, grace }) if attempts.len() > MAX_BATCH_ITEMS => {
            attempts
                .chunks(MAX_BATCH_ITEMS)
                .map(|part| CoordinatorMessage::Cancel(Cancel { attempts: part.to_vec(), grace }))
                .collect()
        }
        other => vec![other],
    }
}

fn cut_orders(all: Orders) -> Vec<CoordinatorMessage> {
    let Orders { heartbeat_number, session, orders } = all;
    let batch = |orders| CoordinatorMessage::Orders(Orders { heartbeat_number, session, orders });
    let mut parts = Vec::new();
    let mut part = Vec::with_capacity(orders.len().min(MAX_BATCH_ITEMS));
    let mut bytes = 0;
    for order in orders {
        let size = order.size_hint();
        if !part.is_empty() && (part.len() == MAX_BATCH_ITEMS || bytes + size > MAX_BATCH_BYTES) {
            parts.push(batch(std::mem::take(&mut part)));
            bytes = 0;
        }
        bytes += size;
        part.push(order);
    }
    if !part.is_empty() {
        parts.push(batch(part));
    }
    parts
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nexusmon_shared::attempt::{AttemptRef, Fence};
    use nexusmon_shared::digest::Digest;
    use nexusmon_shared::id::TaskId;
    use nexusmon_shared::message::Order;
    use nexusmon_shared::rank::Rank;
    use nexusmon_shared::wire::proto;
    use proptest::prelude::*;

    use super::*;

    fn order(number: u128, leaf: usize) -> Order {
        Order {
            attempt: AttemptRef {
                task: TaskId::from_bits(number),
                fence: Fence { epoch: u32::MAX, number: u64::MAX },
            },
            attempt_number: u32::MAX,
            plan_digest: Digest::of(b"plan"),
            leaf: Bytes::from(vec![b'x'; leaf]),
            leaf_index: u64::MAX,
            proof: vec![Digest::of(b"node"); 17],
            item_index: Some(u32::MAX),
            parameters: None,
            inputs: Vec::new(),
            rank: Rank::E,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            idempotency_key: "tsk_00000000000000000000000000".to_owned(),
            decisions: Vec::new(),
            standing: None,
            spawned: None,
        }
    }

    proptest! {
        #[test]
        fn batches_keep_every_order_once_and_stay_within_the_limits(
            leaves in prop::collection::vec(0_usize..40_000, 0..700),
        ) {
            use prost_size::encoded_len;
            let orders: Vec<_> = leaves.iter().enumerate().map(|(i, leaf)| order(i as u128, *leaf)).collect();
            let parts = cut(CoordinatorMessage::Orders(Orders { heartbeat_number: 1, session: 2, orders: orders.clone() }));
            let mut seen = Vec::new();
            for part in parts {
                prop_assert!(encoded_len(&part) <= MAX_BATCH_BYTES + 64);
                let CoordinatorMessage::Orders(batch) = part else { unreachable!("orders stay orders") };
                prop_assert!((1..=MAX_BATCH_ITEMS).contains(&batch.orders.len()));
                seen.extend(batch.orders);
            }
            prop_assert_eq!(seen, orders);
        }
    }

    mod prost_size {
        use super::*;

        /// Bytes on the line, without the frame.
        pub(super) fn encoded_len(message: &CoordinatorMessage) -> usize {
            let message: proto::CoordinatorMessage = message.clone().into();
            prost::Message::encoded_len(&message)
        }
    }

    #[test]
    fn an_empty_recall_stays_one_message() {
        assert_eq!(cut(CoordinatorMessage::Recall(Vec::new())), [CoordinatorMessage::Recall(Vec::new())]);
    }
}
