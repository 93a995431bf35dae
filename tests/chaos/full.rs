//! The bus has no room left, and then it has.

use crate::dice::Dice;
use crate::house::House;
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// What fills the room is somebody else's stream, a megabyte a message less its headers.
const FILL: &str = "SOMEBODY_ELSE";
const PIECE: usize = 1_000_000;
/// What the nats-server may store: more than the scenario needs, and soon full.
const ROOM: &str = "150MB";

/// Fills the store to its limit and frees it, some times.
pub async fn full(house: &mut House, dice: &mut Dice, times: usize) {
    let client = async_nats::connect(&house.server.url).await.unwrap();
    let jetstream = jetstream::new(client);
    let config = stream::Config {
        name: FILL.to_owned(),
        subjects: vec!["somebody.else".to_owned()],
        ..stream::Config::default()
    };
    let filling = jetstream.create_stream(config).await.unwrap();
    // Not before: the server would create no stream that may grow beyond it.
    house.server.bound(ROOM);
    house.server.lose(Duration::ZERO).await;
    house.kills.fetch_add(1, Ordering::Relaxed);
    for _ in 0..times {
        sleep(dice.millis(3_000, 5_000)).await;
        // The last bit too: whatever is smaller than a piece would still find room.
        let (mut size, mut stored) = (PIECE, 0_u64);
        while size > 0 {
            let piece = Bytes::from(vec![0; size]);
            let acknowledged = jetstream.publish("somebody.else", piece).await.unwrap().await;
            match acknowledged {
                Ok(_) => stored += 1,
                Err(_) => size /= 4,
            }
        }
        assert!(stored > 10, "the store has a limit, and that is not small");
        sleep(dice.millis(3_000, 8_000)).await;
        filling.purge().await.unwrap();
    }
}
