'use strict';

// The parameters of e-mails, checked before anything is deployed: the functions would find a mistake only when something fails,
// and then send a plainer e-mail for each failure. totes/alerts/repeats.py reads the intervals.

const MINUTES = { m: 1, h: 60, d: 24 * 60 };
const SHORTEST_MINUTES = 5;

const isInterval = (text) => {
  const [, count, unit] = /^([1-9]\d{0,3})([mhd])$/.exec(text.trim()) || [];
  return count * MINUTES[unit] >= SHORTEST_MINUTES;
};

module.exports = async ({ resolveVariable }) => {
  const intervals = String(await resolveVariable('param:mailIntervals'));
  if (!intervals.split(',').every(isInterval)) {
    throw new Error(
      `The parameter mailIntervals is ${intervals}; expected are times of at least ${SHORTEST_MINUTES}m, in minutes, hours or ` +
        'days, such as 1h,24h. Change --param="mailIntervals=…" or params in serverless.yml.'
    );
  }
  const chat = String(await resolveVariable('param:chat'));
  if (!['true', 'false'].includes(chat)) {
    throw new Error(`The parameter chat is ${chat}; expected is true or false. Change TOTES_CHAT or --param="chat=…".`);
  }
  return { intervals, chat };
};
