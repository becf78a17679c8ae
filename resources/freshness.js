'use strict';

// The alarm on freshness, by the rate. It goes off after half an hour without success; if the schedule is slower, after
// three starts without success. After a fixed half hour it would go off between any two executions of an hourly schedule.

const MINUTES = { minute: 1, hour: 60, day: 24 * 60 };
const PROMISED_MINUTES = 30;
const PERIODS = 2;
const LONGEST_RATE = MINUTES.day;

const minutesBetweenStarts = (rate) => {
  const [, count, unit] = /^rate\(([1-9]\d*) (minute|hour|day)s?\)$/.exec(rate) || [];
  const minutes = count * MINUTES[unit];
  if (!(minutes <= LONGEST_RATE)) {
    throw new Error(
      `The parameter rate is ${rate}; expected is rate(n minutes), rate(n hours) or rate(1 day), because the freshness alarm is ` +
        'derived from it. Change --param="rate=…" or params in serverless.yml.'
    );
  }
  return minutes;
};

module.exports = async ({ resolveVariable }) => {
  const minutes = minutesBetweenStarts(await resolveVariable('param:rate'));
  const period = Math.min(Math.ceil(Math.max(PROMISED_MINUTES, 3 * minutes) / PERIODS), MINUTES.day);
  return { periods: PERIODS, periodSeconds: 60 * period, minutes: PERIODS * period };
};
