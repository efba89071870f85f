//! The demo's stock ticker: made-up prices, published only while somebody watches, so that an idle
//! broker is idle.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weft_protocol::{ChannelLimits, ChannelName};

use crate::core::broker::Broker;
use crate::core::held::Wakes;
use crate::core::publishing::Publication;

/// How often prices move.
const TICK: Duration = Duration::from_secs(1);

/// Whoever subscribes below this watches; `/**` alone is no sign of interest in prices.
const BELOW: &str = "/demo/";

/// Symbol, channel, price to start from in hundredths.
const STOCKS: [(&str, &str, i64); 6] = [
    ("WEFT", "/demo/stocks/WEFT", 10_125),
    ("WARP", "/demo/stocks/WARP", 5_480),
    ("LOOM", "/demo/stocks/LOOM", 23_410),
    ("YARN", "/demo/stocks/YARN", 1_295),
    ("SILK", "/demo/stocks/SILK", 34_870),
    ("JUTE", "/demo/stocks/JUTE", 720),
];

#[derive(Debug)]
struct Stock {
    symbol: &'static str,
    channel: ChannelName<'static>,
    opened: i64,
    price: i64,
}

/// Publishes prices until told to stop.
pub async fn run(broker: Arc<Broker>, stop: CancellationToken) {
    let limits = ChannelLimits::default();
    let mut stocks: Vec<Stock> = STOCKS
        .iter()
        .filter_map(|&(symbol, channel, price)| {
            let channel = ChannelName::parse(channel, &limits).ok()?;
            Some(Stock { symbol, channel, opened: price, price })
        })
        .collect();
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let ticking = async {
        loop {
            watched(&broker, &stocks).await;
            tick(&broker, &mut stocks, &mut noise);
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = ticking => {}
    }
}

/// Waits until somebody would get a price. Arrivals are awaited before the look, so none is missed.
async fn watched(broker: &Broker, stocks: &[Stock]) {
    loop {
        let arrival = broker.arrival();
        if stocks.iter().any(|stock| broker.has_subscribers(stock.channel, BELOW)) {
            return;
        }
        arrival.await;
    }
}

fn tick(broker: &Broker, stocks: &mut [Stock], noise: &mut u64) {
    let mut wakes = Wakes::default();
    for stock in stocks {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        let step = (stock.price / 100).max(2);
        let moved = i64::try_from(*noise % 1_000).unwrap_or(0) % (2 * step + 1) - step;
        stock.price = (stock.price + moved).clamp(stock.opened / 2, stock.opened * 2);
        if broker.has_subscribers(stock.channel, BELOW) {
            let data = price(stock);
            // A refused price is no loss: the next one comes in a second.
            let _ = broker.publish(&Publication::new(stock.channel, &data), &mut wakes);
        }
    }
}

fn price(stock: &Stock) -> String {
    let money = |hundredths: i64| {
        let sign = if hundredths < 0 { "-" } else { "" };
        format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
    };
    let change = money(stock.price - stock.opened);
    format!(r#"{{"symbol":"{}","price":{},"change":{change}}}"#, stock.symbol, money(stock.price))
}
