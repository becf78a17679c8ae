'use strict';

// Checks the parameters of e-mails before anything is deployed. The functions would find a mistake only at the first failure,
// and then send a plainer e-mail for each one. totes/alerts/repeats.py reads the intervals.

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
      `The parameter mailIntervals is ${intervals}, expected times of at least ${SHORTEST_MINUTES}m, in minutes, hours or ` +
        'days, such as 1h,24h. Change --param="mailIntervals=…" or params in serverless.yml.'
    );
  }
  const chat = String(await resolveVariable('param:chat'));
  if (!['true', 'false'].includes(chat)) {
    throw new Error(`The parameter chat is ${chat}, expected true or false. Change TOTES_CHAT or --param="chat=…".`);
  }
  return { intervals, chat };
};
